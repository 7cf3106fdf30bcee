# SPDX-License-Identifier: Apache-2.0
"""The demonstration: people of four group photos are enrolled under invented names, then
looked for in pictures that the program has not seen:

  photo    the two other group photos. One woman of photo 1 is in photo 3 as well; all
           others in them are strangers.
  camera   all six photos as a poor door camera would show them: 480 pixels wide, dim, noisy,
           and squeezed through H.264 at a low rate.

Nothing here recognises anything: that is done by `domovoi enrol` and `domovoi identify`.
This script only makes the pictures and counts. The true names come from the place of a face
in its photo.
"""
import json
import os
import shutil
import subprocess
import sys
import time

PROGRAM = "build/domovoi"
PHOTOS = "build/fetch/photos/sample%d.jpg"
OUT = "build/demo"
GALLERY = OUT + "/gallery.db"
CAMERA_WIDTH = 480

# People from left to right in the photos. None: a stranger, not in the gallery.
PEOPLE = {
    1: ["Alma", "Bella", "Clara"],
    2: ["Dora", "Edith", "Flora"],
    3: [None, "Clara", None],
    4: ["Greta", "Hanna", "Irene", "Julia"],
    5: ["Karin", "Laura", "Maria", "Nora", "Olga"],
    6: [None, None, None, None],
}
ENROLLED = [1, 2, 4, 5]


def stop(message):
    sys.exit("demo: " + message)


def domovoi(*args):
    """Runs a verb; its JSON lines. Exit status 1 is an honest no."""
    run = subprocess.run([PROGRAM, *args], stdout=subprocess.PIPE, text=True)
    if run.returncode not in (0, 1):
        stop("`domovoi %s` failed" % " ".join(args))
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def ffmpeg(*args):
    run = subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *args])
    if run.returncode:
        stop("ffmpeg failed; is the disk full?")


def camera_picture(photo, path):
    """One second of a still scene as a cheap camera sends it; the last frame is kept."""
    video = path + ".mp4"
    ffmpeg("-loop", "1", "-framerate", "10", "-t", "1", "-i", photo, "-vf",
           "scale=%d:-2:flags=area,gblur=sigma=0.5,"
           "eq=brightness=-0.08:contrast=0.75:saturation=0.7,noise=alls=9:allf=t:all_seed=7,"
           "format=yuv420p" % CAMERA_WIDTH,
           "-c:v", "libx264", "-preset", "medium", "-threads", "1", "-b:v", "150k", "-maxrate",
           "150k", "-bufsize", "75k", video)
    ffmpeg("-sseof", "-0.15", "-i", video, "-update", "1", path)
    os.remove(video)


def middle(face):
    x, y, w, h = face["box"]
    return x + w / 2, y + h / 2


def places():
    """Where the people are in the photos: their boxes, from left to right."""
    found = {}
    for picture in domovoi("detect", "--json", *[PHOTOS % k for k in PEOPLE]):
        k = next(k for k in PEOPLE if picture["image"] == PHOTOS % k)
        boxes = sorted((f["box"] for f in picture["faces"]), key=lambda b: b[0])
        if len(boxes) != len(PEOPLE[k]):
            stop("%s: %d faces found, %d people are in it"
                 % (picture["image"], len(boxes), len(PEOPLE[k])))
        found[k] = (boxes, picture["width"])
    return found


def enrol(found):
    """Cuts the people of the photos in ENROLLED out, with a margin, and enrols them."""
    people = OUT + "/people"
    for k in ENROLLED:
        for name, (x, y, w, h) in zip(PEOPLE[k], found[k][0]):
            side = 1.7 * max(w, h)
            left, top = max(0, x + w / 2 - side / 2), max(0, y + h / 2 - side / 2)
            os.makedirs("%s/%s" % (people, name))
            ffmpeg("-i", PHOTOS % k, "-vf", "crop=min(%d\\,iw-%d):min(%d\\,ih-%d):%d:%d"
                   % (side, left, side, top, left, top), "-q:v", "2",
                   "%s/%s/photo%d.jpg" % (people, name, k))
    domovoi("enrol", "--gallery", GALLERY, "--largest", "--json", people)


def judge(truth, answer):
    if answer == truth:
        return "right"
    return "missed" if answer is None else "WRONG"


def look(title, pictures, found, rows, counts):
    """Identifies in pictures ({photo number: path}) and adds a row for each person."""
    paths = list(pictures.values())
    drawn = "%s/%s" % (OUT, title)
    os.makedirs(drawn)
    answers = domovoi("identify", "--gallery", GALLERY, "--json", "--draw", drawn, *paths)
    # Once more without a threshold, only to show how near the nearest person was.
    nearest = domovoi("identify", "--gallery", GALLERY, "--json", "--threshold=-1", *paths)
    for (k, path), got, near in zip(pictures.items(), answers, nearest):
        boxes, width = found[k]
        scale = got["width"] / width
        faces = list(zip(got["faces"], near["faces"]))
        for truth, (x, y, w, h) in zip(PEOPLE[k], boxes):
            cx, cy = (x + w / 2) * scale, (y + h / 2) * scale
            at = [pair for pair in faces
                  if abs(middle(pair[0])[0] - cx) < w * scale / 2
                  and abs(middle(pair[0])[1] - cy) < h * scale / 2]
            if not at:
                verdict, answer, score = "missed", "no face found", ""
                if truth is None:
                    verdict = "right"
            else:
                face, close = at[0]
                faces.remove(at[0])
                name = face["subjects"][0]["name"] if face["subjects"] else None
                best = close["subjects"][0]
                verdict, answer = judge(truth, name), name or "-"
                score = "%.2f" % best["score"]
            counts[verdict] += 1
            rows.append(("%s %d" % (title, k), "%.0f px" % (w * scale), truth or "stranger",
                         answer, score, verdict))
        for pair in faces:  # something that is no face was taken for one
            if pair[0]["subjects"]:
                counts["WRONG"] += 1
                rows.append(("%s %d" % (title, k), "", "nobody",
                             pair[0]["subjects"][0]["name"], "", "WRONG"))
    return drawn


def main():
    begin = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT + "/scene")

    print("== enrolling the people of photos %s" % ", ".join(map(str, ENROLLED)), flush=True)
    found = places()
    enrol(found)

    print("== making pictures of a poor camera", flush=True)
    scenes = {}
    for k in PEOPLE:
        scenes[k] = "%s/scene/scene%d.png" % (OUT, k)
        camera_picture(PHOTOS % k, scenes[k])

    print("== looking for them\n", flush=True)
    rows, counts = [], {"right": 0, "WRONG": 0, "missed": 0}
    others = {k: PHOTOS % k for k in PEOPLE if k not in ENROLLED}
    drawn = [look("photo", others, found, rows, counts),
             look("camera", scenes, found, rows, counts)]

    heads = ("picture", "face", "true name", "answer", "nearest", "")
    widths = [max(len(r[i]) for r in rows + [heads]) for i in range(len(heads))]
    for row in [heads] + rows:
        print("  ".join(cell.ljust(n) for cell, n in zip(row, widths)).rstrip())
    print("\n%d people enrolled, %d faces looked up: %d right, %d wrong, %d missed"
          % (sum(len(PEOPLE[k]) for k in ENROLLED), len(rows), counts["right"], counts["WRONG"],
             counts["missed"]))
    print("A stranger is right when no name is given. The names are invented. The camera pictures\n"
          "are made from the same photos: they test poor pictures, not other days and poses.")
    print("\nannotated pictures, %.0f seconds after the start:" % (time.monotonic() - begin))
    for folder in drawn:
        for name in sorted(os.listdir(folder)):
            print("  %s/%s" % (folder, name))
    print("\nnow with a picture of yours:\n"
          "  build/domovoi enrol --gallery %s --name YOU YOUR.jpg\n"
          "  build/domovoi identify --gallery %s ANOTHER.jpg" % (GALLERY, GALLERY))


if __name__ == "__main__":
    main()
