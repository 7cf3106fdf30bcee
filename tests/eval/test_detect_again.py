# SPDX-License-Identifier: Apache-2.0
"""`domovoi eval detect` against a second computation.

    test_detect_again.py PROGRAM figures|pictures

Makes random truth and detections with many ties, ignored boxes and crowds, in each format, and
computes every figure again the slow way: precision at a recall is the best of all places from
there on, curves are counted anew for every threshold, recalls of VOC are fractions. The standard
library only. Also what the program must refuse. pictures: its way from pictures to figures, for
which it needs the default nets and a picture in DOMOVOI_SHARED; without them it exits 77.
"""
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from fractions import Fraction

PROGRAM = os.path.abspath(sys.argv[1])
PART = sys.argv[2] if len(sys.argv) > 2 else 'figures'
SHARED = os.environ.get('DOMOVOI_SHARED', '')
BUILD = os.environ.get('DOMOVOI_BUILD', '')
TMP = tempfile.mkdtemp(prefix='domovoi-detect-')
EPS = 2.0 ** -52
IOUS = [0.5 + i * ((0.95 - 0.5) / 9) for i in range(9)] + [0.95]
RECALLS = [i * 0.01 for i in range(100)] + [1.0]
AREAS = {'': (0, 1e10), '_small': (0, 1024), '_medium': (1024, 9216), '_large': (9216, 1e10)}


def environment():
    e = dict(os.environ, HOME=TMP, LC_ALL='C', DOMOVOI_MODELS=os.path.join(BUILD, 'models'))
    return e


def run(*args):
    return subprocess.run([PROGRAM, 'eval', 'detect', *args], env=environment(), cwd=TMP,
                          capture_output=True, text=True)


def path(name):
    return os.path.join(TMP, name)


def put(name, text):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), 'w') as f:
        f.write(text)
    return path(name)




class Box:
    def __init__(self, image, cls, xywh, score=0.0, ignored=False, crowd=False, area=None):
        self.image, self.cls, self.xywh, self.score = image, cls, xywh, score
        self.crowd, self.ignored = crowd, ignored or crowd
        self.area = xywh[2] * xywh[3] if area is None else area


def inter(a, b, more=0):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + more
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + more
    return w * h if w > 0 and h > 0 else 0.0


def iou(found, truth, crowd=False):
    i = inter(found, truth)
    if not i:
        return 0.0
    mine = found[2] * found[3]
    return i / (mine if crowd else mine + truth[2] * truth[3] - i)


# ---- COCO ----

def coco_fates(found, truth, least, area, max_dets):
    """Of one picture and class: (score, 'hit', 'wrong' or 'none'), best first."""
    out = {}
    free = list(truth)

    def out_of(a):
        return not area[0] <= a <= area[1]
    for d in sorted(found, key=lambda d: -d.score)[:max_dets]:
        best = None
        for wanted in (False, True):  # truth that counts, then truth that does not
            if best is not None:
                break
            top = min(least, 1 - 1e-10)
            for t in free:
                if (t.ignored or out_of(t.area)) != wanted:
                    continue
                o = iou(d.xywh, t.xywh, t.crowd)
                if o >= top:
                    top, best = o, t
        if best is None:
            fate = 'none' if out_of(d.area) else 'wrong'
        else:
            fate = 'none' if best.ignored or out_of(best.area) else 'hit'
            if not best.crowd:
                free.remove(best)
        out[d] = fate
    return [(d.score, f) for d, f in out.items()]


def coco_class(found, truth, images, area, max_dets, least):
    """AP and recall, or None."""
    real = sum(not t.ignored and area[0] <= t.area <= area[1] for t in truth)
    if not real:
        return None
    fates = []
    for i in images:
        fates += coco_fates([d for d in found if d.image == i], [t for t in truth if t.image == i],
                            least, area, max_dets)
    fates.sort(key=lambda f: -f[0])  # stable
    places, tp, fp = [], 0, 0
    for _, f in fates:
        tp += f == 'hit'
        fp += f == 'wrong'
        places.append((tp / real, tp / (tp + fp + EPS)))
    ap = sum(max((p for r, p in places if r >= at), default=0) for at in RECALLS) / len(RECALLS)
    return ap, places[-1][0] if places else 0.0


def mean(v):
    v = [x for x in v if x is not None]
    return sum(v) / len(v) if v else None


def coco(found, truth, classes, images, max_dets=100):
    out = {}

    def each(area, limit, least, k):
        return [coco_class([d for d in found if d.cls == c], [t for t in truth if t.cls == c],
                           images, area, limit, least) for c in classes]

    def figure(area, limit, ious, k):
        cells = [x for i in ious for x in each(area, limit, i, k) if x is not None]
        return mean([x[k] for x in cells])
    for name, area in AREAS.items():
        out['map' + name] = figure(area, max_dets, IOUS, 0)
        out['ar' + name] = figure(area, max_dets, IOUS, 1)
    out['map50'] = figure(AREAS[''], max_dets, [IOUS[0]], 0)
    out['recall50'] = figure(AREAS[''], max_dets, [IOUS[0]], 1)
    out['map75'] = figure(AREAS[''], max_dets, [IOUS[5]], 0)
    out['ar1'] = figure(AREAS[''], min(1, max_dets), IOUS, 1)
    out['ar10'] = figure(AREAS[''], min(10, max_dets), IOUS, 1)
    return out


# ---- VOC ----

def voc_class(found, truth):
    real = sum(not t.ignored for t in truth)
    if not real:
        return None
    order = sorted(sorted(found, key=lambda d: d.image), key=lambda d: -d.score)
    taken, places, tp, fp = set(), [], 0, 0
    for d in order:
        near = [(iou(d.xywh, t.xywh), -k) for k, t in enumerate(truth) if t.image == d.image]
        o, k = max(near, default=(0, 0))
        if o >= 0.5 and truth[-k].ignored:
            continue
        if o >= 0.5 and -k not in taken:
            taken.add(-k)
            tp += 1
        else:
            fp += 1
        places.append((Fraction(tp, real), tp / (tp + fp)))
    eleven = sum(max((p for r, p in places if r >= Fraction(k, 10)), default=0)
                 for k in range(11)) / 11
    area, before = 0.0, Fraction(0)
    for r in sorted({r for r, _ in places}):
        area += float(r - before) * max(p for q, p in places if q >= r)
        before = r
    return eleven, area


def voc(found, truth, classes):
    each = [voc_class([d for d in found if d.cls == c], [t for t in truth if t.cls == c])
            for c in classes]
    each = [x for x in each if x is not None]
    return {'ap_voc07': mean([x[0] for x in each]), 'ap_voc10': mean([x[1] for x in each])}


# ---- WIDER FACE ----

def wider_iou(a, b):
    i = inter(a, b, 1)
    return i / ((a[2] + 1) * (a[3] + 1) + (b[2] + 1) * (b[3] + 1) - i) if i else 0.0


def wider(found, truth, keep):
    """keep: a set of truth boxes."""
    lo = min([1.0] + [d.score for d in found])
    hi = max([0.0] + [d.score for d in found])
    images = sorted({t.image for t in truth})
    by_image = {i: sorted([d for d in found if d.image == i], key=lambda d: -d.score)
                for i in images}
    there = {i: [t for t in truth if t.image == i] for i in images}
    target = {}
    for i in images:
        for d in by_image[i]:
            o, k = max((wider_iou(d.xywh, t.xywh), -k) for k, t in enumerate(there[i]))
            target[d] = there[i][-k] if o >= 0.5 else None
    places = []
    for step in range(1, 1001):
        least = 1 - step / 1000
        hits, proposals = 0, 0
        for i in images:
            up = [d for d in by_image[i] if (d.score - lo) / (hi - lo) >= least]
            hits += len({target[d] for d in up} & keep)
            proposals += sum(target[d] is None or target[d] in keep for d in up)
        places.append((hits / len(keep), hits / proposals if proposals else 0.0))
    ap, before = 0.0, 0.0
    for n, (r, _) in enumerate(places):
        ap += (r - before) * max(p for _, p in places[n:])
        before = r
    return ap


# ---- random boxes ----

def make(rng, images, classes, crowds=False, whole=False):
    def number(x):
        return float(round(x)) if whole else round(x, 2)

    def spot(size):
        w = size * rng.uniform(0.6, 1.4)
        h = size * rng.uniform(0.6, 1.4)
        return [number(v) for v in (rng.uniform(0, 500), rng.uniform(0, 400), w, h)]
    truth, found = [], []
    for i in images:
        for c in classes:
            for _ in range(rng.choice([0, 1, 3, 8])):
                xywh = spot(rng.choice([12, 30, 70, 150]))
                crowd = crowds and rng.random() < 0.15
                area = xywh[2] * xywh[3] * (rng.choice([1, 0.6]) if crowds else 1)
                truth.append(Box(i, c, xywh, ignored=not crowds and rng.random() < 0.2,
                                 crowd=crowd, area=number(area) if crowds else None))
                for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
                    moved = [xywh[0] + rng.gauss(0, 0.12) * xywh[2],
                             xywh[1] + rng.gauss(0, 0.12) * xywh[3],
                             xywh[2] * rng.uniform(0.8, 1.25), xywh[3] * rng.uniform(0.8, 1.25)]
                    if rng.random() < 0.1:
                        moved = xywh
                    found.append(Box(i, c, [number(v) for v in moved],
                                     min(1.0, max(0.0, round(rng.gauss(0.6, 0.25), 2)))))
            for _ in range(rng.choice([0, 0, 1, 5])):
                found.append(Box(i, c, spot(rng.choice([12, 50, 120])),
                                 round(rng.uniform(0, 0.9), 2)))
    rng.shuffle(found)
    return found, truth


def coordinates(xywh):
    return ','.join(repr(v) for v in xywh)


class Case(unittest.TestCase):

    def figures(self, *args):
        p = run(*args, '--json')
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout.splitlines()[-1], parse_constant=lambda c: 1 / 0)

    def refuse(self, word, *args):
        p = run(*args)
        self.assertEqual(p.returncode, 2, (args, p.stdout))
        self.assertIn(word, p.stderr)
        self.assertTrue(p.stderr.startswith('domovoi eval detect: '), p.stderr)
        self.assertEqual(p.stdout, '')


class Figures(Case):
    def same(self, want, got, what):
        self.assertGreater(len(want), 0)
        for name, v in want.items():
            if v is None:
                self.assertIsNone(got[name], (what, name))
            else:
                self.assertLess(abs(got[name] - v), 1e-9, (what, name, got[name], v))

    def test_frames(self):
        for seed in range(6):
            rng = random.Random(seed)
            images = range(1, rng.choice([2, 12]))
            found, truth = make(rng, images, [0], whole=seed % 2 == 0)
            if all(t.ignored for t in truth):
                continue
            mot = [f'{t.image},{k + 1},{coordinates(t.xywh)},{0 if t.ignored else 1},-1,-1,-1'
                   for k, t in enumerate(truth)]
            gt = put('mot.txt', '\n'.join(mot) + '\n')
            rows = [f'{d.image},{coordinates(d.xywh)},{d.score!r}\n' for d in found]
            dt = put('found.csv', ''.join(rows))
            r = self.figures('--truth', gt, '--boxes', dt)
            self.assertEqual((r['format'], r['truths'], r['ignored'], r['detections']),
                             ('mot', sum(not t.ignored for t in truth),
                              sum(t.ignored for t in truth), len(found)))
            # Among equal scores frames come in their order, then rows.
            found.sort(key=lambda d: d.image)
            self.same({**coco(found, truth, [0], images), **voc(found, truth, [0])}, r, seed)
            few = self.figures('--truth', gt, '--boxes', dt, '--max-dets', '3')
            self.same(coco(found, truth, [0], images, 3), few, seed)
            # Plain rows know nothing to be ignored.
            plain = put('plain.txt', ''.join(f'{t.image},{coordinates(t.xywh)}\n' for t in truth))
            for t in truth:
                t.ignored = False
            r = self.figures('--truth', plain, '--boxes', dt)
            self.assertEqual(r['format'], 'frames')
            self.same({**coco(found, truth, [0], images), **voc(found, truth, [0])}, r, seed)

    def coco_files(self, found, truth, images, classes):
        names = {c: f'class {c}' for c in classes}
        d = {'info': {'skip': ['me', {'a': None, 'b': [1e3, True]}]},
             'annotations': [
                 {'id': k + 1, 'image_id': t.image, 'category_id': t.cls, 'bbox': t.xywh,
                  'segmentation': [[1, 2, 3, 4]], 'area': t.area, 'iscrowd': int(t.crowd)}
                 for k, t in enumerate(truth)],
             'images': [{'id': i, 'file_name': f'pictures/{i:05}.jpg', 'width': 640}
                        for i in reversed(images)],
             'categories': [{'id': c, 'name': names[c], 'supercategory': 'x\u00e9'}
                            for c in classes]}
        results = [{'image_id': b.image, 'category_id': b.cls, 'bbox': b.xywh, 'score': b.score}
                   for b in found]
        return put('coco.json', json.dumps(d, indent=1)), put('results.json', json.dumps(results))

    def test_coco(self):
        for seed in range(4):
            rng = random.Random(100 + seed)
            images, classes = [139, 7, 2000, 44, 45][:rng.choice([2, 5])], [3, 1, 90]
            found, truth = make(rng, images, classes, crowds=True)
            gt, dt = self.coco_files(found, truth, images, classes)
            r = self.figures('--truth', gt, '--boxes', dt)
            self.assertEqual((r['format'], r['pictures']), ('coco', len(images)))
            images = sorted(images)
            self.same({**coco(found, truth, classes, images), **voc(found, truth, classes)}, r,
                      seed)
            self.assertEqual([c['name'] for c in r['classes']], ['class 1', 'class 3', 'class 90'])
            for c in r['classes']:
                k = [int(c['name'].split()[1])]
                mine = [d for d in found if d.cls in k]
                self.same({**coco(mine, truth, k, images), **voc(mine, truth, k)}, c, seed)
            # One class alone, by name or number; rows instead of JSON.
            rows = put('rows.csv', ''.join(
                f'{d.image},{coordinates(d.xywh)},{d.score!r},{d.cls}\n' for d in found))
            for name, boxes in (('class 3', dt), ('3', rows)):
                one = self.figures('--truth', gt, '--boxes', boxes, '--class', name)
                self.assertNotIn('classes', one)
                mine = [d for d in found if d.cls == 3]
                self.same({**coco(mine, truth, [3], images), **voc(mine, truth, [3])}, one, seed)
            # What was read can be dumped, and read again.
            self.figures('--truth', gt, '--boxes', dt, '--dump', 'dump.csv')
            again = self.figures('--truth', gt, '--boxes', 'dump.csv')
            for v in (r, again):
                v.pop('detector')
            self.assertEqual(r, again)

    def test_wider(self):
        for seed in range(3):
            rng = random.Random(200 + seed)
            names = [f'{k}--Event/{k}_Event x_{k}_{n}.jpg' for k in range(2) for n in range(3)]
            found, truth = make(rng, names, [0], whole=True)
            found = [d for d in found]
            text, lists = '', {'easy': '', 'medium': '', 'hard': ''}
            keep = {k: set() for k in lists}
            ordered = []
            for name in names:
                here = [t for t in truth if t.image == name]
                text += f'{name}\n{len(here)}\n'
                for t in here:
                    text += ' '.join(str(int(v)) for v in t.xywh)
                    text += f' 0 0 0 {int(t.ignored)} 0 0 \n'
                ordered += here
                if not here:
                    text += '0 0 0 0 0 0 0 0 0 0 \n'
                for k, share in (('easy', 0.3), ('medium', 0.6), ('hard', 0.9)):
                    chosen = [n for n, t in enumerate(here)
                              if rng.random() < share and not t.ignored]
                    keep[k] |= {here[n] for n in chosen}
                    lists[k] += name + ''.join(f' {n + 1}' for n in chosen) + '\n'
            gt = put('wider.txt', text)
            shutil.rmtree(path('wider'), ignore_errors=True)
            for name in names:
                here = [d for d in found if d.image == name]
                rows = ''.join(' '.join(repr(v) for v in d.xywh) + f' {d.score!r}\n' for d in here)
                put('wider/' + name[:-4] + '.txt', f'{os.path.basename(name)}\n{len(here)}\n{rows}')
            given = [x for k in lists for x in ('--' + k, put(k + '.txt', lists[k]))]
            r = self.figures('--truth', gt, '--boxes', 'wider', *given)
            self.assertEqual(r['wider']['subsets'], 'lists')
            for k in lists:
                want = wider(found, ordered, keep[k])
                self.assertLess(abs(r['wider'][k] - want), 1e-9, (seed, k, r['wider'], want))
            found.sort(key=lambda d: names.index(d.image))
            for b in found + ordered:  # pictures in the order of the file
                b.image = names.index(b.image)
            self.same({**coco(found, ordered, [0], range(6)), **voc(found, ordered, [0])}, r, seed)
            r = self.figures('--truth', gt, '--boxes', 'wider')
            self.assertEqual(r['wider']['subsets'], 'height')
            for least in (50, 30, 10):
                tall = {t for t in ordered if not t.ignored and t.xywh[3] >= least}
                want = wider(found, ordered, tall)
                self.assertLess(abs(r['wider'][f'height{least}'] - want), 1e-9, (seed, least))

    def test_points(self):
        rng = random.Random(9)
        truth, found, errors = '', '', []
        for i in range(1, 30):
            x, y, w, h = (rng.uniform(10, 90) for _ in range(4))
            points = [rng.uniform(0, 100) for _ in range(10)]
            off = [p + rng.gauss(0, 6) for p in points]
            truth += ','.join(repr(v) for v in (i, x, y, w, h, *points)) + '\n'
            found += ','.join(repr(v) for v in (i, x, y, w, h, 0.5, *off)) + '\n'
            errors.append(sum(math.dist(points[k:k + 2], off[k:k + 2]) for k in range(0, 10, 2))
                          / 5 / math.sqrt(w * h))
        r = self.figures('--truth', put('p.txt', truth), '--boxes', put('q.txt', found))
        self.assertEqual(r['nme_faces'], 29)
        self.assertLess(abs(r['nme'] - sum(errors) / 29), 1e-6)
        self.assertLess(abs(r['nme_over'] - sum(e > 0.1 for e in errors) / 29), 1e-7)

    def test_scale_and_range(self):
        gt = put('s.txt', '10,20,40,60,80\n11,0,0,10,10\n12,5,5,10,10\n')
        dt = put('t.txt', '10,10,10,30,20,.9\n11,0,0,5,2.5,.8\n12,100,100,5,2.5,.7\n')
        r = self.figures('--truth', gt, '--boxes', dt, '--truth-size', '200x400', '--size',
                         '100x100')
        self.assertLess(abs(r['recall50'] - 2 / 3), 1e-9)
        r = self.figures('--truth', gt, '--boxes', dt, '--truth-size', '200x400', '--size',
                         '100x100', '--frames', '10-11')
        self.assertEqual((r['map'], r['truths'], r['pictures']), (1, 2, 2))
        r = self.figures('--truth', gt, '--boxes', dt, '--frames', '12')
        self.assertEqual((r['map'], r['truths'], r['pictures']), (0, 1, 1))
        r = self.figures('--truth', gt, '--boxes', dt, '--min-score', '.75')
        self.assertEqual(r['detections'], 2)

    def test_text_and_report(self):
        gt = put('s.txt', '1,20,40,60,80\n')
        dt = put('t|.txt', '1,20,40,60,80,.9\n')
        p = run('--truth', gt, '--boxes', dt, '--boxes', put('none.txt', ''), '--report', 'r.md')
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stdout, r'COCO AP \.50:\.95 +100\.00 +0\.00\n')
        self.assertRegex(p.stdout, r' small +- +-\n')
        self.assertEqual(len([x for x in p.stdout.splitlines() if x.startswith('{')]), 2)
        with open(path('r.md')) as f:
            report = f.read()
        self.assertRegex(report, r'\n\| COCO AP, IoU .50:.95 +\| +100.00 \| +0.00 \|\n')
        self.assertIn('t\\|.txt', report)

    def test_plot(self):
        gt = put('s.txt', ''.join(f'{i},20,40,60,80\n' for i in range(40)))
        dt = put('t.txt', ''.join(f'{i},{20 + i},40,60,80,{1 - i / 50}\n' for i in range(40)))
        two = ('--truth', gt, '--boxes', dt, '--boxes', put('u.txt', ''), '--pr')
        p = run(*two, 'pr.svg')
        if 'cairo' in p.stderr:
            self.skipTest('built without cairo')
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(run(*two, 'pr.png').returncode, 0)
        with open(path('pr.svg')) as f:
            self.assertIn('<svg', f.read(500))
        with open(path('pr.png'), 'rb') as f:
            self.assertEqual(f.read(8), b'\x89PNG\r\n\x1a\n')
        self.refuse('.svg or .png', *two, 'pr.pdf')
        self.refuse('nowhere', *two, 'nowhere/pr.svg')

    def test_refused(self):
        gt = put('gt.txt', '1,20,40,60,80\n2,1,1,5,5\n')
        dt = put('dt.txt', '1,20,40,60,80,.9\n')
        both = ('--truth', gt, '--boxes', dt)
        self.refuse('--truth and one of', '--truth', gt)
        self.refuse('--truth and one of', *both, '--images', TMP)
        self.refuse('nowhere.txt', '--truth', 'nowhere.txt', '--boxes', dt)
        self.refuse('nowhere.txt', '--truth', gt, '--boxes', 'nowhere.txt')
        self.refuse('--format', *both, '--format', 'yolo')
        self.refuse('--frames', *both, '--frames', '5-2')
        self.refuse('no truth box is left', *both, '--frames', '7-9')
        self.refuse('--size', *both, '--truth-size', '10x10')
        self.refuse('--truth-size', *both, '--truth-size', 'big', '--size', '10x10')
        self.refuse('--max-dets', *both, '--max-dets', '0')
        self.refuse('--easy', *both, '--easy', gt)
        self.refuse('line 2', '--truth', gt, '--boxes', put('bad.txt', '1,2,3,4,5,.5\n1,2,3,4\n'))
        self.refuse('line 1: the score', '--truth', gt, '--boxes', put('bad.txt', '1,2,3,4,5,nan'))
        self.refuse('several', '--truth', put('c.json', json.dumps(
            {'images': [{'id': 1, 'file_name': 'a.jpg'}],
             'categories': [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}],
             'annotations': [{'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 3, 4]}]})),
            '--boxes', put('d.csv', '1,1,2,3,4,.5\n'))
        self.refuse('no class zebra', '--truth', path('c.json'), '--boxes', dt, '--class', 'zebra')
        self.refuse('no picture 9', '--truth', path('c.json'), '--class', 'a', '--boxes',
                    put('d.csv', '9,1,2,3,4,.5\n'))
        self.refuse('--class', '--truth', gt, '--boxes', put('d.csv', '1,1,2,3,4,.5,cat\n'
                                                             '1,1,2,3,4,.5,dog\n'))
        w = put('w.txt', 'a/b.jpg\n1\n1 2 30 40 0 0 0 0 0 0\na/c.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n')
        put('wf/a/c.txt', 'c.jpg\n0\n')
        self.refuse('1 of 2 pictures have no file', '--truth', w, '--boxes', 'wf')
        r = self.figures('--truth', w, '--boxes', 'wf', '--allow-missing')
        self.assertEqual((r['map'], r['truths']), (0, 2))
        self.refuse('all three', '--truth', w, '--boxes', 'wf', '--easy', w)
        self.refuse('boxes 1 to 1', '--truth', w, '--boxes', 'wf', '--easy',
                    put('e.txt', 'a/b.jpg 2\n'), '--medium', w, '--hard', w)


class Pictures(Case):
    def test_pictures(self):
        crowd = os.path.join(SHARED, 'groups', 'selfie_crowd.jpg')
        net = os.path.join(BUILD, 'models', 'detect.dmv')
        if not os.path.exists(crowd) or not os.path.exists(net):
            self.skipTest('no picture or no net at hand')
        os.makedirs(path('frames'), exist_ok=True)
        for n in ('9', '10', '11'):
            shutil.copy(crowd, path(f'frames/f{n}.jpg'))
        p = subprocess.run([PROGRAM, 'detect', crowd, '--detector', net, '--json', '--min-score',
                            '.3'], env=environment(), capture_output=True, text=True)
        faces = json.loads(p.stdout)['faces']
        self.assertGreater(len(faces), 50)
        rows = ''.join(f'{i},{",".join(repr(v) for v in f["box"])}\n'
                       for i in (4, 5, 6) for f in faces)
        gt = put('crowd.txt', rows)
        args = ('--truth', gt, '--images', 'frames', '--detector', net, '--max-dets', '3000')
        self.refuse('--first-frame', *args)
        r = self.figures(*args, '--first-frame', '4', '--dump', 'crowd.csv')
        self.assertEqual((r['pictures'], r['truths'], r['ap_voc10']), (3, 3 * len(faces), 1))
        self.assertGreater(r['map50'], 0.999)
        again = self.figures('--truth', gt, '--boxes', 'crowd.csv', '--max-dets', '3000')
        for k, v in again.items():
            if k not in ('detector', 'id'):
                self.assertEqual(r[k], v, k)
        # The way by names, a list of pictures, and pictures that are not there.
        put('names.txt', 'frames/f9.jpg\n\nframes/f11.jpg\n')
        r = self.figures('--truth', gt, '--images', 'names.txt', '--detector', net,
                         '--first-frame', '4', '--frames', '4-5')
        self.assertEqual(r['pictures'], 2)
        text = ''.join(f'{n}\n{len(faces)}\n' + ''.join(
            ' '.join(repr(v) for v in f['box']) + ' 0 0 0 0 0 0\n' for f in faces)
            for n in ('f9.jpg', 'gone.jpg'))
        gt = put('w.txt', text)
        self.refuse('gone.jpg', '--truth', gt, '--images', 'frames', '--detector', net)
        r = self.figures('--truth', gt, '--images', 'frames', '--detector', net, '--allow-missing')
        self.assertEqual((r['pictures'], r['missing'], r['truths'], r['ap_voc10']),
                         (1, 1, len(faces), 1))
        self.assertEqual(r['wider']['height10'], 1)


if __name__ == '__main__':
    try:
        result = unittest.main(argv=sys.argv[:1], defaultTest=PART.capitalize(), exit=False,
                               verbosity=2).result
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
    if PART == 'pictures' and result.skipped:
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
