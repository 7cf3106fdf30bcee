typedef int dv_scene_empty;
