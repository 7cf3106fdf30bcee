# SPDX-License-Identifier: Apache-2.0
"""`domovoi eval identify`, `eval cross` and `eval fairness` against a second computation.

    test_identification.py PROGRAM vectors|pictures

vectors writes feature files, has the program score them and computes every figure again from the
definitions in src/eval/identify.h and fairness.h, with the standard library only; then the inputs
that must be refused. pictures does the same from pictures with nets of DOMOVOI_SHARED, and exits
77 without them.
"""
import array
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
PART = sys.argv[2]
SHARED = os.environ.get('DOMOVOI_SHARED', '')
LFW = os.path.join(SHARED, 'faces', 'lfw_pairs_112')
LFW_LIST = os.path.join(SHARED, 'faces', 'lfw_pairs.txt')
TMP = tempfile.mkdtemp(prefix='domovoi-ident-')


def path(name):
    return os.path.join(TMP, name)


def put(name, text):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), 'w') as f:
        f.write(text)


def run(*args, env=None):
    e = dict(os.environ, HOME=TMP, LC_ALL='C', DOMOVOI_CACHE=os.path.join(TMP, 'cache'))
    e.pop('XDG_CACHE_HOME', None)
    e.update(env or {})
    return subprocess.run([PROGRAM, 'eval', *args], env=e, cwd=TMP, capture_output=True, text=True)


def npy(name, rows):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (
        len(rows), len(rows[0]))
    head += ' ' * (-(10 + len(head) + 1) % 64) + '\n'
    with open(path(name), 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode())
        for row in rows:
            f.write(struct.pack(f'<{len(row)}f', *row))


def read_npy(name):
    with open(path(name), 'rb') as f:
        data = f.read()
    size = struct.unpack('<H', data[8:10])[0]
    head = data[10:10 + size].decode()
    rows, cols = (int(x) for x in head.split('(')[1].split(')')[0].split(','))
    v = array.array('f')
    v.frombytes(data[10 + size:])
    return [v[i * cols:(i + 1) * cols] for i in range(rows)]


def megaface_bin(name, row):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), 'wb') as f:
        f.write(struct.pack('<4i', len(row), 1, 4, 5) + struct.pack(f'<{len(row)}f', *row))


def singles(rows):
    """The numbers as the files hold them."""
    return [array.array('f', row) for row in rows]


def unit(v):
    n = math.sqrt(sum(x * x for x in v))
    return [x / n for x in v]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def people(rng, n, each, dim, spread, first=0):
    """(subject, vector) of n people, `each` of everyone."""
    out = []
    for i in range(n):
        centre = [rng.gauss(0, 1) for _ in range(dim)]
        for _ in range(each):
            out.append((f's{first + i}', [c + spread * rng.gauss(0, 1) for c in centre]))
    return out


# ---- the second computation ----

def answers(gallery, probes, strangers, mean=False):
    """(mated, rank, mate, best other) of each probe, by comparing everything."""
    subjects = {}
    for who, v in gallery:
        subjects.setdefault(who, []).append(unit(v))
    if mean:
        subjects = {w: [unit([sum(c) for c in zip(*vs)])] for w, vs in subjects.items()}
    crowd = [unit(v) for v in strangers]
    out = []
    for who, v in probes:
        p = unit(v)
        best = {w: max(dot(p, t) for t in vs) for w, vs in subjects.items()}
        mate = best.pop(who, None)
        others = list(best.values()) + [dot(p, d) for d in crowd]
        rank = 1 + sum(o >= mate for o in others) if mate is not None else 0
        out.append((mate is not None, rank, mate, max(others)))
    return out


def rank_share(found, k):
    mated = [a for a in found if a[0]]
    return sum(a[1] <= k for a in mated) / len(mated)


def open_point(found, rate):
    """FPIR, FNIR by threshold, FNIR at rank 1: every stranger's score tried as the threshold."""
    strangers = sorted((a[3] for a in found if not a[0]), reverse=True)
    mated = [a for a in found if a[0]]
    allowed = math.floor(rate * len(strangers) + 1e-9)
    above = strangers[allowed] if allowed < len(strangers) else -2
    return (sum(s > above for s in strangers) / len(strangers),
            sum(a[2] <= above for a in mated) / len(mated),
            sum(a[2] <= above or a[1] != 1 for a in mated) / len(mated))


class Case(unittest.TestCase):
    def code(self, want, p):
        self.assertEqual(p.returncode, want, f'{p.args}\n{p.stdout}\n{p.stderr}')
        return p

    def result(self, *args):
        p = self.code(0, run(*args))
        return json.loads(p.stdout.splitlines()[-1])

    def error(self, word, *args):
        p = self.code(2, run(*args))
        self.assertIn(word, p.stderr)
        self.assertTrue(p.stderr.startswith('domovoi eval'), p.stderr)
        return p

    def near(self, a, b, off=1e-7):
        self.assertTrue(abs(a - b) <= off, f'{a} is not {b}')


class Vectors(Case):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(4)
        cls.gallery = people(rng, 40, 3, 24, 1.0)
        cls.probes = []
        for who, v in cls.gallery[::2]:
            cls.probes.append((who, [x + 1.2 * rng.gauss(0, 1) for x in v]))
        cls.unknown = people(rng, 25, 1, 24, 1.0, first=1000)
        cls.crowd = [[rng.gauss(0, 1) for _ in range(24)] for _ in range(900)]
        for name, rows in (('g', cls.gallery), ('p', cls.probes),
                           ('o', cls.probes + cls.unknown)):
            npy(name + '.npy', [v for _, v in rows])
            put(name + '.tsv', ''.join(f'{who}\n' for who, _ in rows))
        npy('d.npy', cls.crowd)
        for rows in (cls.gallery, cls.probes, cls.unknown):
            rows[:] = [(who, array.array('f', v)) for who, v in rows]
        cls.crowd = singles(cls.crowd)
        cls.sets = ['--gallery-features', 'g.npy', '--gallery-list', 'g.tsv']
        cls.closed = cls.sets + ['--probe-features', 'p.npy', '--probe-list', 'p.tsv']
        cls.opened = cls.sets + ['--probe-features', 'o.npy', '--probe-list', 'o.tsv']
        cls.labels = ''.join(f's{i}\t{"ab"[i % 2]}\t{"xyz"[i % 3]}\n' for i in range(39))

    def check_ranks(self, r, found):
        self.assertEqual(r['mated'], sum(a[0] for a in found))
        self.assertEqual(r['trials'], len(found))
        for k, share in enumerate(r['cmc']):
            self.near(share, rank_share(found, k + 1))
        for k, share in r['rank'].items():
            self.near(share, rank_share(found, int(k)))

    def test_closed(self):
        for fuse in ('max', 'mean'):
            found = answers(self.gallery, self.probes, [], fuse == 'mean')
            r = self.result('identify', *self.closed, '--fuse', fuse, '--depth', '30', '--json')
            self.check_ranks(r, found)
            self.assertEqual((r['templates'], r['subjects'], r['probes']), (120, 40, 60))
            self.assertTrue(0.2 < r['rank']['1'] < 0.98, r['rank'])
        more = self.result('identify', *self.closed, '--distractor-features', 'd.npy', '--dump',
                           'dump.tsv', '--ranks', '1,2,3,50')
        found = answers(self.gallery, self.probes, self.crowd)
        self.check_ranks(more, found)
        with open(path('dump.tsv')) as f:
            rows = [line.rstrip('\n').split('\t') for line in f]
        self.assertEqual(len(rows), 60)
        for i, (row, want) in enumerate(zip(rows, found)):
            self.assertEqual(row[:3], [f'row {i + 1}', self.probes[i][0], str(min(want[1], 101))])
            self.near(float(row[3]), want[2], 1e-6)
            self.near(float(row[4]), want[3], 1e-6)
        steps = {s['n']: s['rank1'] for s in more['by_distractors']}
        self.assertEqual(sorted(steps), [0, 10, 100, 900])
        for n, share in steps.items():
            self.near(share, rank_share(answers(self.gallery, self.probes, self.crowd[:n]), 1))
        for threads in ('1', '3'):
            again = self.result('identify', *self.closed, '--distractor-features', 'd.npy', '-t',
                                threads, '--cpu', 'c')
            self.assertEqual(again['cmc'], more['cmc'])

    def test_probe_mean(self):
        by = {}
        for who, v in self.probes:
            by.setdefault(who, []).append(unit(v))
        merged = [(w, [sum(c) for c in zip(*vs)]) for w, vs in by.items()]
        r = self.result('identify', *self.closed, '--probe-mean')
        self.check_ranks(r, answers(self.gallery, merged, []))
        self.assertEqual(r['probes'], 40)

    def test_open(self):
        found = answers(self.gallery, self.probes + self.unknown, self.crowd[:200])
        npy('d2.npy', self.crowd[:200])
        r = self.result('identify', *self.opened, '--open', '--distractor-features', 'd2.npy',
                        '--fpir', '0.3,0.1,0.05,0.01')
        self.check_ranks(r, found)
        self.assertEqual((r['strangers'], len(r['open'])), (25, 4))
        for point in r['open']:
            fpir, fnir, first = open_point(found, point['rate'])
            self.near(point['fpir'], fpir)
            self.near(point['fnir'], fnir)
            self.near(point['fnir_rank1'], first)
            self.near(point['dir'], 1 - first)
            self.assertLessEqual(point['fpir'], point['rate'])
        self.assertTrue(0 < r['open'][0]['fnir'] < 1)

    def test_crowd(self):
        args = ['identify', *self.closed, '--distractors', '5000', '--json']
        one, two = self.result(*args), self.result(*args, '-t', '3')
        self.assertEqual(one['cmc'], two['cmc'])
        self.assertNotEqual(self.result(*args, '--seed', '2')['cmc'], one['cmc'])
        like = self.result(*args, '--like', 'gallery')
        self.assertNotEqual(like['cmc'], one['cmc'])
        self.assertEqual((like['like'], like['distractors'], like['distractors_given']),
                         ('gallery', 5000, 0))
        mixed = self.result(*args, '--distractor-features', 'd.npy')
        self.assertEqual((mixed['distractors'], mixed['distractors_given']), (5900, 900))
        self.assertLessEqual(mixed['rank']['1'], one['rank']['1'])
        # Vectors of another origin, in MegaFace's format.
        with open(path('like.bin'), 'wb') as f:
            f.write(struct.pack('<4i', 900, 24, 96, 5))
            for v in self.crowd:
                f.write(v.tobytes())
        self.result(*args, '--like', 'like.bin')
        npy('two.npy', [[1, 2], [3, 4]])
        self.error('vectors of 2 numbers', *args, '--like', 'two.npy')

    def test_megaface(self):
        """The devkit's layout: one .bin a picture, JSON lists, a suffix."""
        rng = random.Random(8)
        rows = people(rng, 9, 4, 24, 1.3) + people(rng, 3, 1, 24, 1.3, first=50)
        names = [f'{who}/{i}.jpg' for i, (who, _) in enumerate(rows)]
        for name, (_, v) in zip(names, rows):
            megaface_bin('feats/' + name + '_net.bin', v)
        put('probes.json', json.dumps({'id': [who for who, _ in rows], 'path': names}))
        crowd = [f'd/{i}.jpg' for i in range(300)]
        for name, v in zip(crowd, self.crowd):
            megaface_bin('feats/' + name + '_net.bin', v)
        put('crowd.json', json.dumps({'path': crowd}))
        args = ['identify', '--megaface', '--probe-list', 'probes.json', '--distractor-list',
                'crowd.json', '--images', path('feats'), '--suffix', '_net.bin']
        r = self.result(*args, '--depth', '300', '--far', '0.1,0.01,0.001')
        rows = [(who, unit(array.array('f', v))) for who, v in rows]
        strangers = [unit(v) for v in self.crowd[:300]]
        found, genuine = [], []
        impostors = sorted((dot(p, d) for _, p in rows for d in strangers), reverse=True)
        for i, (who, p) in enumerate(rows):
            for k, (other, mate) in enumerate(rows):
                if i != k and who == other:
                    s = dot(p, mate)
                    genuine.append(s)
                    found.append((True, 1 + sum(dot(p, d) >= s for d in strangers), s, 0))
        self.assertEqual(len(found), 9 * 4 * 3)
        self.check_ranks(r, found)
        for point in r['tar']:
            above = impostors[math.floor(point['far'] * len(impostors) + 1e-9)]
            self.near(point['tar'], sum(s > above for s in genuine) / len(genuine))
            self.near(point['threshold'], above, 1e-6)
        self.assertTrue(0.05 < r['tar'][1]['tar'] < 1)
        # Too short a list to know the rate is said, not guessed.
        r = self.result(*args, '--depth', '1', '--far', '0.1')
        self.assertIsNone(r['tar'][0]['tar'])
        os.unlink(path('feats/' + names[2] + '_net.bin'))
        p = self.error(names[2], *args)
        self.assertIn('1 of 39 files', p.stderr)
        self.assertEqual(self.result(*args, '--allow-missing')['trials'], 9 * 12 - 6)
        megaface_bin('feats/' + names[2] + '_net.bin', [1.0] * 23)
        self.error('holds 1 vectors of 23', *args)
        self.error('every probe', *args, '--open')
        put('one.tsv', f'{rows[0][0]}\t{names[0]}\n{rows[-1][0]}\t{names[-1]}\n')
        self.error('two pictures of a person', 'identify', '--megaface', '--probe-list',
                   'one.tsv', '--images', path('feats'), '--suffix', '_net.bin',
                   '--distractors', '10')

    def test_saved(self):
        """What --save-features writes gives the same figures again."""
        one = self.result('identify', *self.opened, '--open', '--save-features', 'saved/new',
                          '--distractor-features', 'd.npy')
        self.assertEqual([list(v) for v in read_npy('saved/new/gallery.npy')],
                         [list(v) for _, v in self.gallery])
        two = self.result('identify', '--open', '--gallery-features', 'saved/new/gallery.npy',
                          '--gallery-list', 'saved/new/gallery.tsv', '--probe-features',
                          'saved/new/probe.npy', '--probe-list', 'saved/new/probe.tsv',
                          '--distractor-features', 'saved/new/distractor.npy')
        self.assertEqual((one['cmc'], one['open']), (two['cmc'], two['open']))

    def test_charts_and_report(self):
        p = run('identify', *self.opened, '--open', '--distractors', '1000', '--report', 'r.md',
                '--cmc', 'cmc.svg', '--det', 'det.png', '--growth', 'growth.svg')
        if 'without drawing' in p.stderr:
            self.code(2, p)
            self.code(0, run('identify', *self.opened, '--open', '--report', 'r.md'))
        else:
            self.code(0, p)
            for name, start in (('cmc.svg', b'<?xml'), ('det.png', b'\x89PNG'),
                                ('growth.svg', b'<?xml')):
                with open(path(name), 'rb') as f:
                    self.assertEqual(f.read(len(start)), start)
            with open(path('r.md')) as f:
                self.assertIn('![DET](<det.png>)', f.read())
        with open(path('r.md')) as f:
            report = f.read()
        r = self.result('identify', *self.opened, '--open', '--distractors', '1000')
        self.assertIn(f"| 1 | {100 * r['rank']['1']:.2f} (", report)
        self.assertIn('25 strangers', report)
        self.error('.svg or .png', 'identify', *self.closed, '--cmc', 'x.jpg')
        self.error('--det needs', 'identify', *self.closed, '--det', 'x.svg')
        self.error('--growth needs', 'identify', *self.closed, '--growth', 'x.svg')

    def test_refused(self):
        def bad(word, *args):
            return self.error(word, 'identify', *args)
        bad('a gallery and probes')
        bad('--people stands for', *self.closed, '--people', 'x')
        p = bad('is not in the gallery', *self.opened)
        self.assertIn('row 61', p.stderr)
        self.assertIn('25 of 85 probes have no mate', p.stderr)
        bad('--fuse', *self.closed, '--fuse', 'min')
        bad('--depth', *self.closed, '--depth', '0')
        bad('--depth', *self.closed, '--depth', '1001')
        for ranks in ('0', '5,1', '101', 'x', '1,', ''):
            bad('--ranks', *self.closed, '--ranks', ranks)
        for rates in ('0', '2', '-1', 'x', '0.1,', 'nan'):
            bad('--fpir', *self.closed, '--fpir', rates)
            bad('--far', *self.closed, '--far', rates)
        bad('--distractors N is missing', *self.closed, '--like', 'sphere')
        bad('sphere, gallery', *self.closed, '--distractors', '9', '--like', 'cube')
        bad('--megaface needs distractors', '--megaface', '--probe-features', 'p.npy',
            '--probe-list', 'p.tsv')
        bad('120 vectors, p.tsv has 60 lines', '--gallery-features', 'g.npy', '--gallery-list',
            'p.tsv', *self.closed[4:])
        bad('whose vectors', '--gallery-features', 'g.npy', *self.closed[4:])
        put('empty.tsv', '\n')
        bad('nobody in it', '--gallery-features', 'g.npy', '--gallery-list', 'empty.tsv',
            *self.closed[4:])
        rows = [list(v) for _, v in self.gallery]
        rows[6][3] = math.nan
        rows[9][3] = math.inf
        npy('nan.npy', rows)
        bad('nan.npy: vector 7 has numbers that are not finite; 2 of 120', '--gallery-features',
            'nan.npy', *self.closed[2:])
        npy('short.npy', [[1, 2]] * 60)
        bad('come from two nets', *self.sets, '--probe-features', 'short.npy', '--probe-list',
            'p.tsv')
        put('mixed.tsv', 'a\tx.jpg\nb\ty.bin\n')
        bad('cannot be mixed', '--gallery-list', 'mixed.tsv', *self.closed[4:])
        # Somebody who is looked for cannot be a stranger.
        megaface_bin('feats2/x.bin', self.crowd[0])
        put('over.tsv', f's3\t{path("feats2/x.bin")}\n')
        p = bad('s3: is a distractor', *self.closed, '--distractor-list', 'over.tsv')
        self.assertIn('both sides', p.stderr)
        put('fine.tsv', f's3000\t{path("feats2/x.bin")}\n')
        self.assertEqual(self.result('identify', *self.closed, '--distractor-list',
                                     'fine.tsv')['distractors'], 1)

    def test_same_on_both_sides(self):
        npy('twice.npy', [v for _, v in self.gallery[:5]] + [v for _, v in self.probes[5:]])
        put('twice.tsv', ''.join(f'{w}\n' for w, _ in self.gallery[:5] + self.probes[5:]))
        p = self.code(0, run('identify', *self.sets, '--probe-features', 'twice.npy',
                             '--probe-list', 'twice.tsv', '--distractor-features', 'twice.npy'))
        r = json.loads(p.stdout.splitlines()[-1])
        self.assertEqual(r['same_vector_probes'], 5)
        self.assertEqual(r['same_vector_distractors'], 60 + 5)
        self.assertIn('5 probes have the vector of a template', p.stderr)
        self.assertEqual(r['rank']['1'], 0)  # each meets itself among the strangers: a tie

    def test_fairness(self):
        put('l.tsv', '#who\tletter\tend\n' + self.labels)
        args = ['fairness', '--features', 'g.npy', '--list', 'g.tsv', '--labels', 'l.tsv',
                '--threshold', '0.3']
        p = self.code(0, run(*args, '--report', 'f.md'))
        r = json.loads(p.stdout.splitlines()[-1])
        group = {}
        for line in self.labels.splitlines():
            who, *groups = line.split('\t')
            group[who] = groups
        counts = {}
        rows = [(who, unit(v)) for who, v in self.gallery]
        for i, (a, x) in enumerate(rows):
            for b, y in rows[i + 1:]:
                wrong = (dot(x, y) >= 0.3) != (a == b)
                kind = 'fnmr' if a == b else 'fmr'
                for c in range(2):
                    key = 'none'
                    if a in group and b in group:
                        same = group[a][c] == group[b][c]
                        key = group[a][c] if same else 'across'
                    for k in (key, 'all'):
                        n = counts.setdefault((c, k, kind), [0, 0])
                        n[0] += 1
                        n[1] += wrong
        for c, column in enumerate(r['columns']):
            self.assertEqual(column['title'], ['letter', 'end'][c])
            self.assertEqual({g['group'] for g in column['groups']}, set(['ab', 'xyz'][c]))
            rates = {'fnmr': {}, 'fmr': {}}
            for g in column['groups'] + [dict(column['across'], group='across')]:
                for kind in ('fnmr', 'fmr'):
                    n = counts.get((c, g['group'], kind), [0, 0])
                    self.assertEqual([g[kind]['pairs'], g[kind]['errors']], n)
                    if n[0]:
                        self.near(g[kind]['rate'], n[1] / n[0])
                        lo, hi = g[kind]['interval']
                        self.assertTrue(lo <= n[1] / n[0] <= hi)
                    if g['group'] != 'across':
                        rates[kind][g['group']] = g[kind]['rate']
            for kind in ('fnmr', 'fmr'):
                spread = column[kind + '_spread']
                self.near(spread['ratio'], max(rates[kind].values()) / min(rates[kind].values()),
                          1e-6)
                self.assertEqual(rates[kind][spread['worst']], max(rates[kind].values()))
            self.assertEqual(column['unlabelled_pairs'],
                             sum(counts[c, 'none', k][0] for k in ('fnmr', 'fmr')))
        for kind in ('fnmr', 'fmr'):
            self.assertEqual([r['all'][kind]['pairs'], r['all'][kind]['errors']],
                             counts[0, 'all', kind])
        self.assertEqual(r['unlabelled_pictures'], 3)
        self.assertIn('3 of 120 pictures have no label', p.stderr)
        with open(path('f.md')) as f:
            self.assertIn('| letter | pictures |', f.read())
        # A group of one person.
        put('l2.tsv', self.labels.replace('s5\tb', 's5\tc'))
        p = self.code(0, run(*args[:-3], 'l2.tsv', '--threshold', '0.3'))
        self.assertIn('column 1, c: too small a group', p.stderr)
        r = json.loads(p.stdout.splitlines()[-1])
        small = {g['group']: g['fnmr']['small'] for g in r['columns'][0]['groups']}
        self.assertEqual(small, {'a': False, 'b': False, 'c': True})
        put('l3.tsv', 'nobody\tx\n')
        self.error('has no label for any', *args[:-3], 'l3.tsv', '--threshold', '0.3')
        self.error('--threshold is needed', *args[:-2])
        self.error('--labels and one of', 'fairness')
        self.error('--images', 'fairness', '--labels', 'l.tsv', '--pairs', 'x')
        put('l4.tsv', 's1\ta\ns1\tb\n')
        self.error('line 2', *args[:-3], 'l4.tsv', '--threshold', '0.3')


class Pictures(Case):
    FOLDS, PER = 10, 12

    @classmethod
    def setUpClass(cls):
        """The first pairs of each fold of LFW, and the people in it with two pictures or more."""
        cls.nets = []
        for name in ('edgeface_xs', 'edgeface_xxs', 'mobilefacenet'):
            p = subprocess.run([PROGRAM, 'model', 'import', os.path.join(
                SHARED, 'models', 'embed', name + '.onnx'), '-o', path(name + '.dmv')],
                capture_output=True)
            assert p.returncode == 0, p.stderr
            cls.nets.append(name + '.dmv')
        with open(LFW_LIST) as f:
            rows = [line.split() for line in f]
        rows = [r for r in rows if len(r) in (3, 4)]
        folds = [rows[i * 600:(i + 1) * 600] for i in range(cls.FOLDS)]
        cls.pairs = []

        def name(who, k):
            return f'{who}/{who}_{int(k):04d}.jpg'
        for fold in folds:
            for r in fold[:cls.PER // 2]:
                cls.pairs.append((name(r[0], r[1]), name(r[0], r[2]), 1))
            for r in fold[300:300 + cls.PER // 2]:
                cls.pairs.append((name(r[0], r[1]), name(r[2], r[3]), 0))
        put('pairs.tsv', ''.join(f'{a}\t{b}\t{s}\n' for a, b, s in cls.pairs))
        for a, b, s in cls.pairs:
            for p in (a, b) if s else ():
                os.makedirs(path('people/' + os.path.dirname(p)), exist_ok=True)
                shutil.copy(os.path.join(LFW, p), path('people/' + p))

    def test_identify(self):
        args = ['identify', '--people', 'people', '--model', self.nets[0], '--aligned',
                '--strangers', '12']
        r = self.result(*args, '--save-features', 'out', '--distractors', '2000', '--like',
                        'gallery')
        rows = []
        for side in ('gallery', 'probe'):
            with open(path(f'out/{side}.tsv')) as f:
                who = [line.rstrip('\n').split('\t') for line in f]
            rows.append([(w[0], v) for w, v in zip(who, read_npy(f'out/{side}.npy'))])
            self.assertTrue(all(w[1].startswith('people/' + w[0] + '/') for w in who))
        enrolled = {w for w, _ in rows[0]}
        self.assertEqual(len(enrolled), len(rows[0]))
        self.assertEqual(len({w for w, _ in rows[1]} - enrolled), 12)
        plain = self.result(*args)
        found = answers(rows[0], rows[1], [])
        self.assertEqual((plain['mated'], plain['strangers']),
                         (sum(a[0] for a in found), sum(not a[0] for a in found)))
        for k, share in enumerate(plain['cmc']):
            self.near(share, rank_share(found, k + 1))
        for point in plain['open']:
            self.near(point['fnir'], open_point(found, point['rate'])[1])
        self.assertGreater(plain['rank']['1'], 0.9)
        self.assertLessEqual(r['rank']['1'], plain['rank']['1'])
        # Lists of the same pictures, and one that is not there.
        for side in ('gallery', 'probe'):
            with open(path(f'out/{side}.tsv')) as f:
                put(f'{side}.tsv', f.read().replace('\tpeople/', '\t'))
        lists = ['identify', '--gallery-list', 'gallery.tsv', '--probe-list', 'probe.tsv',
                 '--images', 'people', '--model', self.nets[0], '--aligned', '--open']
        self.assertEqual(self.result(*lists)['cmc'], plain['cmc'])
        with open(path('probe.tsv'), 'a') as f:
            f.write(f'{rows[0][0][0]}\tgone.jpg\n')
        p = self.error('people/gone.jpg', *lists)
        self.assertIn('1 of ', p.stderr)
        again = self.result(*lists, '--allow-missing')
        self.assertEqual((again['cmc'], again['missing']), (plain['cmc'], 1))
        self.error('no pictures are left', 'identify', '--people', 'people', '--enrol', '99')
        self.error('somebody must be enrolled', *args[:-1], '9999')
        self.error("in no person's folder", 'identify', '--people',
                   path('people/' + rows[0][0][0]))

    def test_no_face(self):
        """A probe without a face is a miss; a template without one leaves its subject unfound."""
        detector = os.path.join(SHARED, 'models', 'detect', 'yunet_n_dynamic.onnx')
        if not os.path.exists(detector):
            self.skipTest('no detector')
        p = subprocess.run([PROGRAM, 'model', 'import', detector, '-o', path('detect.dmv')],
                           capture_output=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        who = sorted(os.listdir(path('people')))[:4]
        pics = {w: ['people/' + w + '/' + x for x in sorted(os.listdir(path('people/' + w)))[:2]]
                for w in who}
        with open(path('blank.ppm'), 'wb') as f:
            f.write(b'P6 112 112 255 ' + bytes(112 * 112 * 3))
        put('g.tsv', 'blank\tblank.ppm\n' + ''.join(f'{w}\t{pics[w][0]}\n' for w in who[:3]))
        shutil.copy(path('blank.ppm'), path('blank2.ppm'))
        shutil.copy(path('blank.ppm'), path('blank3.ppm'))
        put('p.tsv', f'{who[0]}\t{pics[who[0]][1]}\n{who[1]}\tblank2.ppm\nblank\t{pics[who[2]][1]}'
            f'\n{who[3]}\t{pics[who[3]][1]}\nnew\tblank3.ppm\n')
        r = self.result('identify', '--gallery-list', 'g.tsv', '--probe-list', 'p.tsv', '--open',
                        '--model', self.nets[0], '--detector', 'detect.dmv', '--min-score', '0.3',
                        '--fpir', '0.5', '--dump', 'faces.tsv')
        self.assertEqual((r['faceless_probes'], r['faceless_templates'], r['templates']), (2, 1, 3))
        self.assertEqual((r['trials'], r['mated'], r['strangers']), (5, 3, 2))
        self.near(r['rank']['1'], 1 / 3)
        self.near(r['cmc'][-1], 1 / 3)
        with open(path('faces.tsv')) as f:
            rows = {x[0]: x[2:] for x in (line.rstrip('\n').split('\t') for line in f)}
        self.assertEqual(rows['blank2.ppm'], ['101', '-2', '-2'])
        self.assertEqual(rows['blank3.ppm'], ['0', '-2', '-2'])
        self.assertEqual(rows[pics[who[2]][1]][:2], ['101', '-2'])

    def accuracy(self, dist):
        same = [s == 1 for _, _, s in self.pairs]
        acc = []
        for f in range(self.FOLDS):
            other = [i for i in range(len(dist)) if i // self.PER != f]
            best = max(range(400), key=lambda t: (
                sum((dist[i] < t * 0.01) == same[i] for i in other), -t))
            mine = range(f * self.PER, (f + 1) * self.PER)
            acc.append(sum((dist[i] < best * 0.01) == same[i] for i in mine) / self.PER)
        return sum(acc) / len(acc)

    def test_cross(self):
        pairs = ['--pairs', 'pairs.tsv', '--images', LFW, '--aligned']
        alone, vectors = [], []
        for k, net in enumerate(self.nets):
            alone.append(self.result('verify', *pairs, '--model', net, '--dump', f'v{k}.npy'))
            with open(path(f'v{k}.txt')) as f:
                names = [line.split('\t')[0] for line in f]
            vectors.append(dict(zip(names, read_npy(f'v{k}.npy'))))
        rng = random.Random(3)
        matrix = [[rng.gauss(0, 1) for _ in range(128)] for _ in range(512)]
        npy('m.npy', matrix)
        matrix = singles(matrix)
        a, b, c = self.nets
        args = ['cross', '--model-gallery', a, '--model-probe']
        for k, (net, more) in enumerate(((b, []), (c, ['--projection', 'm.npy']))):
            r = self.result(*args, net, *pairs, *more, '--report', 'c.md')
            for mix, want in zip(r['mixes'], (alone[0], alone[k + 1])):
                self.near(mix['verification']['accuracy'], want['accuracy'])
            moved = {}
            for name in {y for _, y, _ in self.pairs}:
                v = vectors[k + 1][name]
                moved[name] = unit([dot(row, v) for row in matrix]) if more else v
            dist = [sum((x - y) ** 2 for x, y in zip(vectors[0][p], moved[q]))
                    for p, q, _ in self.pairs]
            self.near(r['mixes'][2]['verification']['accuracy'], self.accuracy(dist))
            with open(path('c.md')) as f:
                self.assertIn('| gallery / probes |', f.read())
        # A net with itself through the matrix that changes nothing.
        npy('eye.npy', [[float(i == j) for j in range(512)] for i in range(512)])
        people = ['--people', 'people', '--aligned', '--strangers', '12', '--distractors', '500']
        p = self.code(0, run(*args, a, '--projection', 'eye.npy', *people))
        self.assertIn('the same net', p.stderr)
        mixes = json.loads(p.stdout.splitlines()[-1])['mixes']
        self.assertEqual(mixes[0]['identification'], mixes[2]['identification'])
        r = self.result('identify', '--model', a, *people, '--like', 'gallery')
        for k, share in mixes[0]['identification']['rank'].items():
            self.near(share, r['rank'][k])
        p = self.error('--projection FILE.npy with a matrix of 512 x 128', *args, c, *pairs)
        self.assertNotIn('embed', p.stderr)
        self.error('take one of 512 x 512', *args, b, *pairs, '--projection', 'm.npy')
        self.error('--model-gallery and --model-probe', 'cross', *pairs)
        self.error('pictures are needed', *args, b)
        who = sorted(os.listdir(path('people')))[:2]
        first = [os.path.join('people', w, sorted(os.listdir(path('people/' + w)))[0]) for w in who]
        put('cg.tsv', f'{who[0]}\t{first[0]}\n')
        put('cp.tsv', f'{who[1]}\t{first[1]}\n')
        p = self.error('1 of 1 probes have no mate', *args, b, '--gallery-list', 'cg.tsv',
                       '--probe-list', 'cp.tsv', '--aligned')
        self.assertIn(f'{first[1]}: its subject, {who[1]}, is not in the gallery', p.stderr)

    def test_fairness(self):
        who = sorted({a.split('/')[0] for a, _, _ in self.pairs} |
                     {b.split('/')[0] for _, b, _ in self.pairs})
        group = {w: 'ab'[i % 2] for i, w in enumerate(who)}
        put('who.tsv', ''.join(f'{w}\t{g}\n' for w, g in group.items()))
        r = self.result('fairness', '--pairs', 'pairs.tsv', '--images', LFW, '--aligned',
                        '--model', self.nets[0], '--labels', 'who.tsv', '--threshold', '0.2')
        self.result('verify', '--pairs', 'pairs.tsv', '--images', LFW, '--aligned', '--model',
                    self.nets[0], '--dump', 'd.tsv')
        counts = {}
        with open(path('d.tsv')) as f:
            for line in f:
                a, b, same, d = line.split('\t')
                ga, gb = group[a.split('/')[0]], group[b.split('/')[0]]
                wrong = (1 - float(d) / 2 >= 0.2) != (same == '1')
                key = (ga if ga == gb else 'across', 'fnmr' if same == '1' else 'fmr')
                n = counts.setdefault(key, [0, 0])
                n[0] += 1
                n[1] += wrong
        column = r['columns'][0]
        for g in column['groups'] + [dict(column['across'], group='across')]:
            for kind in ('fnmr', 'fmr'):
                self.assertEqual([g[kind]['pairs'], g[kind]['errors']],
                                 counts.get((g['group'], kind), [0, 0]))


def missing():
    need = [LFW, LFW_LIST] + [os.path.join(SHARED, 'models', 'embed', n + '.onnx')
                              for n in ('edgeface_xs', 'edgeface_xxs', 'mobilefacenet')]
    return [n for n in need if not os.path.exists(n)]


if __name__ == '__main__':
    try:
        if PART == 'pictures' and missing():
            print('skipped: not there:', ', '.join(missing()))
            sys.exit(77)
        case = Pictures if PART == 'pictures' else Vectors
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        ok = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite).wasSuccessful()
        sys.exit(0 if ok else 1)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
