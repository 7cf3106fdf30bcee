#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""opencv_time.py NET.onnx DIMS RUNS THREADS [int8] - how long OpenCV's dnn module takes for a net:
one line of JSON. DIMS as 1x3x112x112. int8: OpenCV makes an 8-bit net of the float one itself."""
import json
import sys
import time

import cv2
import numpy


def main(path, dims, runs, threads, form='float'):
    cv2.setNumThreads(int(threads))
    net = cv2.dnn.readNetFromONNX(path)
    picture = numpy.random.default_rng(1).uniform(
        -1, 1, [int(d) for d in dims.split('x')]).astype(numpy.float32)
    if form == 'int8':
        net = net.quantize([picture], cv2.CV_32F, cv2.CV_32F)
    outputs = net.getUnconnectedOutLayersNames()
    ms = []
    for i in range(-5, int(runs)):
        begin = time.perf_counter()
        net.setInput(picture)
        net.forward(outputs)
        if i >= 0:
            ms.append((time.perf_counter() - begin) * 1e3)
    ms.sort()
    print(json.dumps({'median_ms': ms[len(ms) // 2], 'min_ms': ms[0], 'runs': len(ms),
                      'threads': int(threads), 'version': cv2.__version__}))


if __name__ == '__main__':
    if sys.argv[1:] == ['check']:
        print(cv2.__version__)
    elif 5 <= len(sys.argv) <= 6:
        try:
            main(*sys.argv[1:])
        except cv2.error as e:
            words = str(e.err or e).lstrip('> ').splitlines()[0]
            sys.exit('it cannot load or run ' + words.split(' parse error')[0])
    else:
        sys.exit(__doc__)
