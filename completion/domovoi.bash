# SPDX-License-Identifier: Apache-2.0
# bash completion for domovoi. Names of people come from the gallery that the line names.
_domovoi() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local verb=${COMP_WORDS[1]} sub='' opts='' out='--json --quiet --help' i gallery=()
    local cpu='--threads --cpu' det='--detector --landmarks --min-score --max-side --scales'
    COMPREPLY=()

    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W 'detect align embed verify enrol identify gallery video train model
            bench motion eval calibrate doctor help --help --version' -- "$cur"))
        return
    fi
    case $verb in
    help)
        COMPREPLY=($(compgen -W 'detect align embed verify enrol identify gallery video train model
            bench motion eval calibrate doctor' -- "$cur"))
        return ;;
    gallery) sub='list show rename remove export import backup restore verify' ;;
    model) sub='export import info plan quantize verify' ;;
    eval) sub='verify identify cross fairness compress detect' ;;
    motion) sub='probe' ;;
    video) sub='info copy' ;;
    bench) sub='model search pipeline' ;;
    esac
    # After bench a net or an option may stand as well.
    if [[ -n $sub && $COMP_CWORD -eq 2 && ! ( $verb == bench && $cur == *[-./]* ) ]]; then
        COMPREPLY=($(compgen -W "$sub --help" -- "$cur"))
        return
    fi

    case $prev in
    --cpu) COMPREPLY=($(compgen -W 'c avx2 avx512 vnni neon dotprod auto' -- "$cur")); return ;;
    --kind)
        COMPREPLY=($(compgen -W 'detector embedder landmarks other' -- "$cur")); return ;;
    --color) COMPREPLY=($(compgen -W 'rgb bgr gray' -- "$cur")); return ;;
    --landmark-order) COMPREPLY=($(compgen -W '5 68' -- "$cur")); return ;;
    --decoder)
        COMPREPLY=($(compgen -W 'yunet ultraface ultraface-raw retinaface scrfd
            blazeface ssd fastestdet' -- "$cur")); return ;;
    --threads | -t | --fmr | --threshold | --min-score | --max-side | --scales | --runs | --size | \
        --top | --name | --licence | --origin | --mean | --scale | --crop | --dim | \
        --thresholds | --thresholds-from | --probes | --noise | --labels | --class | --timeout | --rate | --camera-size | \
        --seed | --max-fps | --frames | --seconds | --crf | --bitrate | --far | --bootstrap | --near)
        return ;;
    --transport) COMPREPLY=($(compgen -W 'tcp udp' -- "$cur")); return ;;
    --degrade)
        COMPREPLY=($(compgen -W 'noise jpeg= h264= gain rain distractor=' -- "$cur")); return ;;
    --format)
        [[ $verb == eval ]] &&
            COMPREPLY=($(compgen -W 'auto mot frames wider points coco' -- "$cur"))
        return ;;
    --form) COMPREPLY=($(compgen -W 'float int8 fp16' -- "$cur")); return ;;
    --images | --pictures | --train | --impostors) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return ;;
    esac

    case $verb in
    detect) opts="$out $cpu $det --draw --objects --class" ;;
    align) opts="$out $cpu $det --output --best" ;;
    embed) opts="$out $cpu $det --model --mirror --aligned --best --output" ;;
    verify) opts="$out $cpu $det --model --mirror --aligned --threshold --fmr" ;;
    enrol) opts="$out $cpu $det --model --mirror --gallery --name --largest --crops" ;;
    identify)
        opts="$out $cpu $det --model --mirror --gallery --threshold --fmr --draw --top" ;;
    gallery)
        opts="$out --gallery"
        [[ ${COMP_WORDS[2]} == rename ]] && opts+=' --merge' ;;
    model)
        opts=$out
        case ${COMP_WORDS[2]} in
        import)
            opts+=' --output --kind --name --licence --origin --color --mean --scale --decoder
                --landmark-order --crop --dim --thresholds --thresholds-from --size --labels --exact' ;;
        export) opts+=' --output' ;;
        plan) opts+=" $cpu --size" ;;
        quantize)
            opts+=" $cpu $det --output --data --random --fp16 --samples --method --percentile --symmetric
                --per-layer --dynamic --equalise --no-bias-fix --keep-loss --mirror --pairs --images
                --aligned --plot --size" ;;
        esac ;;
    bench)
        opts="$out $cpu --runs"
        case ${COMP_WORDS[2]} in
        search) opts+=' --size --dim --top --probes --form' ;;
        pipeline) opts+=" $det --model --mirror --gallery" ;;
        *) opts+=' --model --size --layers' ;;
        esac ;;
    video)
        opts="$out --transport --timeout --rate --camera-size --format"
        [[ ${COMP_WORDS[2]} == copy ]] && opts+=' --output --degrade --seed --max-fps --frames
            --seconds --size --crf --bitrate --threads' ;;
    train) opts="$out $cpu --data --output --net --act --width --depth --se --dim
        --loss --margin --scale --smooth --epochs --batch --rate
        --schedule --momentum --decay --least --no-mirror --colour --seed --checkpoint --save-every --resume
        --teacher --distill --teacher-cache" ;;
    motion) opts="$out $cpu --detector --output --pictures --size --pairs --noise --seed" ;;
    eval)
        opts="$out $cpu $det --model --mirror --aligned --no-cache --allow-missing"
        case ${COMP_WORDS[2]} in
        verify)
            opts+=' --images --pairs --far --bootstrap --seed --roc --det --hist --report --dump --leak-check --train
                --train-aligned --near' ;;
        identify)
            opts+=' --images --people --enrol --strangers --gallery --gallery-list
                --gallery-features --probes --probe-list --probe-features --suffix --distractors
                --like --seed --distractor-images --distractor-list --distractor-features
                --megaface --open --fuse --probe-mean --ranks --depth --fpir --far --cmc --det
                --growth --report --dump --save-features' ;;
        cross)
            opts+=' --model-gallery --model-probe --projection --images --pairs --people --enrol
                --strangers --gallery --gallery-list --probes --probe-list --open --distractors
                --far --fpir --bootstrap --seed --report' ;;
        fairness)
            opts+=' --threshold --fmr --labels --people --list --features --pairs --images
                --report' ;;
        compress) opts+=' --images --pairs --levels --far --bootstrap --seed --plot --report' ;;
        detect)
            opts="$out $cpu $det --truth --format --images --boxes --class --truth-size --size
                --first-frame --frames --max-dets --easy --medium --hard --pr --report --dump
                --allow-missing" ;;
        esac ;;
    calibrate)
        opts="$out $cpu $det --model --mirror --impostors --fmr --output --gallery --dry-run --aligned
            --allow-missing --no-cache" ;;
    doctor) opts="$out $cpu --gallery" ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$opts" -- "$cur"))
        return
    fi

    if [[ $verb == gallery && ${COMP_WORDS[2]} =~ ^(show|rename|remove)$ &&
          $prev != --gallery ]]; then
        for ((i = 3; i < COMP_CWORD; i++)); do
            [[ ${COMP_WORDS[i]} == --gallery ]] && gallery=(--gallery "${COMP_WORDS[i+1]}")
        done
        local IFS=$'\n' name
        while IFS= read -r name; do
            name=${name%%  *}
            [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
        done < <("${COMP_WORDS[0]}" gallery list --quiet "${gallery[@]}" 2>/dev/null)
        return
    fi
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _domovoi domovoi
