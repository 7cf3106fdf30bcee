# SPDX-License-Identifier: Apache-2.0
"""`domovoi eval verify` and `domovoi calibrate` against a second computation.

    test_recompute.py PROGRAM

Embeds a part of LFW with three nets, reads the dumped embeddings and computes every figure again
from the definitions in src/eval/metrics.h, with the standard library only. The printed digits must
be the same. Also the inputs that must be refused, and the cache. Needs pictures and nets in
DOMOVOI_SHARED and exits 77 without them.
"""
import csv
import hashlib
import json
import math
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
SHARED = os.environ.get('DOMOVOI_SHARED', '')
LFW = os.path.join(SHARED, 'faces', 'lfw_pairs_112')
LIST = os.path.join(SHARED, 'faces', 'lfw_pairs.txt')
NETS = ['mobilefacenet', 'edgeface_xs', 'edgeface_xxs']
TMP = tempfile.mkdtemp(prefix='domovoi-eval-')
PER_FOLD = 12
# Pairs of each fold of LFW that nets find hard, counted from 0 among the fold's genuine and impostor
# pairs: with easy ones alone every net is perfect, and every wrong figure right.
HARD = [([68, 69, 112, 185], [176, 246, 273, 284]), ([29, 55, 231, 241], [14, 43, 102, 244]),
        ([29, 67, 68, 69], [119, 144, 196, 291]), ([43, 61, 119, 209], [33, 232, 259, 271]),
        ([98, 150, 151, 209], [46, 166, 221, 263]), ([160, 165, 186, 269], [22, 34, 131, 202]),
        ([41, 51, 291, 292], [28, 34, 40, 299]), ([8, 44, 69, 104], [84, 119, 129, 247]),
        ([50, 73, 122, 162], [56, 76, 108, 109]), ([221, 244, 280, 293], [33, 119, 152, 261])]
ROUNDS = 40
RATES = ['0.25', '0.1', '0.03', '0.01']  # 0.25 of the impostors is a whole number


def run(*args, env=None):
    e = dict(os.environ, HOME=TMP, LC_ALL='C', DOMOVOI_CACHE=os.path.join(TMP, 'cache'))
    e.pop('XDG_CACHE_HOME', None)
    e.update(env or {})
    return subprocess.run([PROGRAM, *args], env=e, cwd=TMP, capture_output=True, text=True)


def path(name):
    return os.path.join(TMP, name)


# ---- the second computation ----

def read_npy(name):
    with open(path(name), 'rb') as f:
        data = f.read()
    size = struct.unpack('<H', data[8:10])[0]
    head = data[10:10 + size].decode()
    rows, cols = (int(x) for x in head.split('(')[1].split(')')[0].split(','))
    v = struct.unpack(f'<{rows * cols}f', data[10 + size:])
    return [v[i * cols:(i + 1) * cols] for i in range(rows)]


def distance(a, b):
    total = 0.0
    for x, y in zip(a, b):
        total += (x - y) * (x - y)
    return min(total, 4.0)


def mean_std(v):
    m = sum(v) / len(v)
    return m, math.sqrt(sum((x - m) * (x - m) for x in v) / len(v))


def accuracy(dist, same, fold, folds):
    """The first best threshold of 0 .. 3.99 on the other folds."""
    acc, at = [], []
    for f in range(folds):
        best = (-1, 0)
        for i in range(400):
            right = sum((d < i * 0.01) == s for d, s, g in zip(dist, same, fold) if g != f)
            if right > best[0]:
                best = (right, i)
        mine = [(d < best[1] * 0.01) == s for d, s, g in zip(dist, same, fold) if g == f]
        acc.append(sum(mine) / len(mine))
        at.append(best[1] * 0.01)
    return (*mean_std(acc), sum(at) / folds)


def tar(dist, same, rate):
    impostors = sorted(d for d, s in zip(dist, same) if not s)
    genuine = [d for d, s in zip(dist, same) if s]
    k = math.floor(rate * len(impostors) + 1e-9)
    t = impostors[k] if k < len(impostors) else math.inf
    return sum(d < t for d in genuine) / len(genuine), t


def tar_folds(dist, same, fold, folds, rate):
    tars, fars = [], []
    for f in range(folds):
        train = [d for d, s, g in zip(dist, same, fold) if g != f and not s]
        far = [sum(d < i * 0.001 for d in train) / len(train) for i in range(4000)]
        last = max(i for i in range(4000) if far[i] <= rate)
        if far[last] == rate:
            t = last * 0.001
        elif last == 3999:
            t = 0
        else:
            t = last * 0.001 + (rate - far[last]) * ((last + 1) * 0.001 - last * 0.001) / \
                (far[last + 1] - far[last])
        own = [(d < t, s) for d, s, g in zip(dist, same, fold) if g == f]
        gen = [a for a, s in own if s]
        imp = [a for a, s in own if not s]
        tars.append(sum(gen) / len(gen))
        fars.append(sum(imp) / len(imp))
    return (*mean_std(tars), sum(fars) / folds)


def weighted(dist, same, weight, rates):
    """TAR at the rates, EER, AUC of a list in which pair i stands weight[i] times."""
    wg = sum(w for w, s in zip(weight, same) if s)
    wi = sum(w for w, s in zip(weight, same) if not s)
    if wg == 0 or wi == 0:
        return None
    rows = sorted(zip(dist, same, weight))
    found = {}
    g = i = area = 0.0
    before, eer = (0.0, 1.0), None
    at = 0
    while at < len(rows):
        d, dg, di = rows[at][0], 0.0, 0.0
        while at < len(rows) and rows[at][0] == d:
            if rows[at][1]:
                dg += rows[at][2]
            else:
                di += rows[at][2]
            at += 1
        for r in rates:
            if di > 0 and r not in found and i + di > math.floor(r * wi + 1e-9):
                found[r] = g / wg
        area += di * (g + dg / 2)
        g, i = g + dg, i + di
        fmr, fnmr = i / wi, 1 - g / wg
        if eer is None and fmr >= fnmr:
            above = before[1] - before[0]
            share = above / (above + (fmr - fnmr))
            eer = before[0] + share * (fmr - before[0])
        before = fmr, fnmr
    return [found.get(r, 1.0) for r in rates] + [eer, area / (wg * wi)]


def splitmix(seed):
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


def bootstrap(dist, same, sides, rates, rounds, seed):
    """sides: the people of each pair, or None: pairs are drawn."""
    people = sorted({p for pair in sides for p in pair}) if sides else range(len(dist))
    number = {p: k for k, p in enumerate(people)}
    random = splitmix(seed)
    out = []
    for _ in range(rounds):
        times = [0] * len(people)
        for _ in people:
            times[(next(random) >> 32) * len(people) >> 32] += 1
        if sides:
            weight = [times[number[a]] * (1 if s else times[number[b]])
                      for (a, b), s in zip(sides, same)]
        else:
            weight = times
        got = weighted(dist, same, weight, rates)
        if got:
            out.append(got)
    ends = []
    for column in zip(*out):
        v = sorted(column)
        ends.append((v[math.floor(0.025 * len(v))], v[max(math.ceil(0.975 * len(v)) - 1, 0)]))
    return len(out), ends


# ---- the material ----

def small_list():
    """The hard pairs and the first other ones of every fold of LFW."""
    with open(LIST) as f:
        rows = f.read().split('\n')
    folds, per = (int(x) for x in rows[0].split())
    out = [f'{folds}\t{PER_FOLD}']
    for k in range(folds):
        for kind in (0, 1):
            start = 1 + per * (2 * k + kind)
            easy = [i for i in range(per) if i not in HARD[k][kind]]
            numbers = sorted(HARD[k][kind] + easy[:PER_FOLD - len(HARD[k][kind])])
            out += [rows[start + i] for i in numbers]
    return '\n'.join(out) + '\n'


def put(name, text):
    with open(path(name), 'w') as f:
        f.write(text)
    return name


class Verify(unittest.TestCase):
    def code(self, want, p):
        self.assertEqual(p.returncode, want, f'{p.args}\n{p.stdout}\n{p.stderr}')
        return p

    def eval(self, *args, pairs='pairs.txt', code=0):
        images = [] if pairs.endswith('.bin') else ['--images', LFW]
        return self.code(code, run('eval', 'verify', *images, '--pairs', pairs, '--aligned', *args))

    def json(self, p):
        """With numbers as they are printed."""
        return json.loads(p.stdout.splitlines()[-1], parse_float=str, parse_int=str)

    def printed(self, want, value, what):
        self.assertEqual(want, '%.8g' % value, what)

    def test_same_digits(self):
        for k, net in enumerate(NETS):
            args = ['--model', net + '.dmv', '--far', ','.join(RATES), '--bootstrap', str(ROUNDS),
                    '--seed', str(11 + k), *(['--mirror'] if k == 0 else [])]
            j = self.json(self.eval(*args, '--dump', 'e.npy'))
            self.eval(*args, '--dump', 'd.csv')
            vectors = read_npy('e.npy')
            with open(path('e.txt')) as f:
                names = [row.rstrip('\n').split('\t') for row in f]
            self.assertEqual({state for _, state in names}, {'vector'})
            row = {name: v for (name, _), v in zip(names, vectors)}
            with open(path('d.csv'), newline='') as f:
                pairs = list(csv.DictReader(f))
            self.assertEqual(len(pairs), 20 * PER_FOLD)
            dist = [distance(row[p['a']], row[p['b']]) for p in pairs]
            self.assertEqual(dist, [float(p['distance']) for p in pairs])
            same = [p['same'] == '1' for p in pairs]
            fold = [int(p['fold']) - 1 for p in pairs]
            self.assertEqual(fold, [i // (2 * PER_FOLD) for i in range(len(pairs))])
            self.assertTrue(all(abs(sum(x * x for x in v) - 1) < 1e-5 for v in vectors))

            acc, std, t = accuracy(dist, same, fold, 10)
            self.printed(j['accuracy'], acc, 'accuracy')
            self.assertTrue(0.8 < acc < 1 and std > 0, (acc, std))
            self.printed(j['std'], std, 'std')
            self.assertEqual(j['threshold_distance'], '%.6g' % t)
            rates = [float(r) for r in RATES]
            for r in RATES:
                self.printed(j['tar'][r], tar(dist, same, float(r))[0], 'TAR')
                m, s, far = tar_folds(dist, same, fold, 10, float(r))
                self.printed(j['tar_folds'][r]['tar'], m, 'TAR by folds')
                self.printed(j['tar_folds'][r]['std'], s, 'deviation by folds')
                self.printed(j['tar_folds'][r]['far'], far, 'FAR by folds')
            *tars, eer, auc = weighted(dist, same, [1] * len(dist), rates)
            self.assertEqual(tars, [tar(dist, same, r)[0] for r in rates])
            self.printed(j['eer'], eer, 'EER')
            self.printed(j['auc'], auc, 'AUC')
            # AUC once more, couple by couple
            gen = [d for d, s in zip(dist, same) if s]
            imp = [d for d, s in zip(dist, same) if not s]
            couples = sum((g < i) + (g == i) / 2 for g in gen for i in imp)
            self.assertAlmostEqual(auc, couples / len(gen) / len(imp), places=12)

            sides = [(p['a'].split('/')[0], p['b'].split('/')[0]) for p in pairs]
            rounds, ends = bootstrap(dist, same, sides, rates, ROUNDS, 11 + k)
            self.assertEqual(j['bootstrap'], {'rounds': str(rounds), 'over': 'people',
                                              'seed': str(11 + k)})
            want = [j['tar_ci'][r] for r in RATES] + [j['eer_ci'], j['auc_ci']]
            for printed, end in zip(want, ends):
                self.assertEqual(printed, ['%.8g' % x for x in end])

            limit = tar(dist, same, 0.1)[1]
            self.assertEqual(j['thresholds']['0.1'],
                             '%.4f' % (math.ceil((1 - limit / 2 + 1e-9) * 1e4) / 1e4))

    def test_bin(self):
        """The same pairs as an InsightFace set give the same figures."""
        self.eval('--model', NETS[0] + '.dmv', '--dump', 'd.csv')
        j = self.json(self.eval('--model', NETS[0] + '.dmv', '--bootstrap', str(ROUNDS)))
        with open(path('d.csv'), newline='') as f:
            pairs = list(csv.DictReader(f))
        pictures = []
        for p in pairs:
            for side in 'ab':
                with open(os.path.join(LFW, p[side]), 'rb') as f:
                    pictures.append(f.read())
        same = [p['same'] == '1' for p in pairs]
        for protocol in (3, 4, 5):
            with open(path('set.bin'), 'wb') as f:
                pickle.dump((pictures, same), f, protocol=protocol)
            b = self.json(self.eval('--model', NETS[0] + '.dmv', '--bootstrap', str(ROUNDS),
                                    pairs='set.bin'))
            for key in ('accuracy', 'std', 'tar', 'tar_folds', 'eer', 'auc', 'pairs',
                        'threshold_distance'):
                self.assertEqual(b[key], j[key], key)
            self.assertEqual(b['cached'], b['pictures'])
            self.assertEqual(b['bootstrap']['over'], 'pairs')
            dist = [float(p['distance']) for p in pairs]
            _, ends = bootstrap(dist, same, None, [1e-2, 1e-3], ROUNDS, 1)
            self.assertEqual(b['eer_ci'], ['%.8g' % x for x in ends[2]])
        # Python 3 writes bytes of protocol 2 as a call: refused, not done.
        with open(path('set.bin'), 'wb') as f:
            pickle.dump((pictures, same), f, protocol=2)
        p = self.eval('--model', NETS[0] + '.dmv', pairs='set.bin', code=2)
        self.assertIn('nothing was executed', p.stderr)
        with open(path('set.bin'), 'wb') as f:
            pickle.dump((pictures[:-2], same[:-1]), f, protocol=4)
        p = self.eval('--model', NETS[0] + '.dmv', pairs='set.bin', code=2)
        self.assertIn('ten folds of equal length', p.stderr)
        # A picture that is none.
        pictures[5] = b'no picture'
        with open(path('set.bin'), 'wb') as f:
            pickle.dump((pictures, same), f, protocol=4)
        p = self.eval('--model', NETS[0] + '.dmv', pairs='set.bin', code=2)
        self.assertIn('picture 6', p.stderr)
        b = self.json(self.eval('--model', NETS[0] + '.dmv', '--allow-missing', pairs='set.bin'))
        self.assertEqual((b['left_out'], b['missing']), ('1', '1'))

    def test_side_by_side(self):
        p = self.eval(*sum((['--model', n + '.dmv'] for n in NETS), []), '--report', 'r.md')
        rows = [json.loads(line) for line in p.stdout.splitlines() if line.startswith('{')]
        self.assertEqual(len(rows), 3)
        self.assertEqual(len({r['id'] for r in rows}), 3)
        with open(path('r.md')) as f:
            report = f.read()
        for r in rows:
            line = next(x for x in report.splitlines() if x.startswith('| ' + r['model'] + ' |'))
            self.assertIn('%.2f +- %.2f' % (100 * r['accuracy'], 100 * r['std']), line)
            self.assertIn('%.2f' % (100 * r['tar']['0.01']), line)
            self.assertIn(r['id'], report)
        self.assertIn('240 pairs (120 of one person)', report)
        p = self.eval('--model', NETS[0] + '.dmv', '--roc', 'c.svg', pairs='nowhere.txt', code=2)
        if 'without drawing' not in p.stderr:
            self.charts()
        p = self.eval('--model', 'edgeface_xs.dmv', '--model', NETS[0] + '.dmv', '--dump', 'x.npy',
                      code=2)
        self.assertIn('one --model', p.stderr)

    def charts(self):
        os.makedirs(path('charts'))
        args = sum((['--model', n + '.dmv'] for n in NETS), [])
        self.eval(*args, '--roc', 'charts/roc.svg', '--det', 'charts/det.svg', '--hist',
                  'charts/hist.png', '--report', 'charts/r.md')
        for name in ('roc', 'det'):
            with open(path(f'charts/{name}.svg')) as f:
                self.assertTrue(f.read().rstrip().endswith('</svg>'))
        with open(path('charts/hist.png'), 'rb') as f:
            self.assertEqual(f.read(8), b'\x89PNG\r\n\x1a\n')
        with open(path('charts/r.md')) as f:
            report = f.read()
        for name in ('roc.svg', 'det.svg', 'hist.png'):
            self.assertIn(f'](<{name}>)', report)
        # Another set of nets is another picture.
        self.eval('--model', NETS[0] + '.dmv', '--roc', 'charts/one.svg')
        with open(path('charts/one.svg'), 'rb') as f, open(path('charts/roc.svg'), 'rb') as g:
            self.assertNotEqual(f.read(), g.read())
        p = self.eval('--model', NETS[0] + '.dmv', '--roc', 'charts/x.gif', code=2)
        self.assertIn('.svg or .png', p.stderr)

    def test_not_finite(self):
        """A net whose weights are no numbers is no net with a bad figure: there is no figure."""
        with open(path(NETS[0] + '.dmv'), 'rb') as f:
            d = bytearray(f.read())
        graph, data = struct.unpack('<QQ', d[32:48])
        d[data:] = struct.pack('<f', math.nan) * ((len(d) - data) // 4)
        d[48:64] = hashlib.sha256(d[graph:]).digest()[:16]
        d[64:96] = bytes(32)
        d[64:96] = hashlib.sha256(d).digest()
        with open(path('nan.dmv'), 'wb') as f:
            f.write(d)
        for more in ([], ['--allow-missing'], ['--no-cache']):
            p = self.eval('--model', 'nan.dmv', *more, '--dump', 'nan.csv', code=2)
            self.assertEqual(p.stdout, '')
            self.assertRegex(p.stderr, 'without a length|not finite')
        self.assertFalse(os.path.exists(path('nan.csv')))

    def test_missing(self):
        with open(path('pairs.txt')) as f:
            text = f.read()
        rows = text.split('\n')
        rows[3] = 'Nobody_At_All\t1\t2'
        put('missing.txt', '\n'.join(rows))
        p = self.eval('--model', NETS[0] + '.dmv', pairs='missing.txt', code=2)
        self.assertIn('Nobody_At_All_0001.jpg', p.stderr)
        self.assertIn('2 of', p.stderr)
        self.assertEqual(p.stdout, '')
        p = self.eval('--model', NETS[0] + '.dmv', '--allow-missing', pairs='missing.txt')
        self.assertIn('Nobody_At_All_0002.jpg', p.stderr)
        j = self.json(p)
        self.assertEqual((j['pairs'], j['left_out'], j['missing']), ('239', '1', '2'))

    def test_cache(self):
        env = {'DOMOVOI_CACHE': path('own')}
        args = ['eval', 'verify', '--images', LFW, '--pairs', 'pairs.txt', '--aligned', '--model',
                NETS[0] + '.dmv']

        def figures(*more):
            p = self.code(0, run(*args, *more, env=env))
            j = self.json(p)
            return {k: j[k] for k in j if k not in ('ms_per_picture', 'seconds', 'cached')}, \
                int(j['cached']), p
        first, cached, _ = figures('--no-cache')
        self.assertEqual(cached, 0)
        self.assertFalse(os.path.exists(path('own')))
        again, cached, _ = figures()
        self.assertEqual((again, cached), (first, 0))
        again, cached, _ = figures()
        self.assertEqual((again, cached), (first, int(first['pictures'])))
        # The mirrored face and another instruction set are other embeddings.
        self.assertEqual(figures('--mirror')[1], 0)
        (name,) = os.listdir(path('own/embeddings'))
        self.assertEqual(name, first['id'] + '.embed')
        file = path('own/embeddings/' + name)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        # Damage is found, told, and repaired.
        with open(file, 'r+b') as f:
            f.seek(64 + 200)
            byte = f.read(1)
            f.seek(64 + 200)
            f.write(bytes([byte[0] ^ 1]))
        again, cached, p = figures()
        self.assertEqual((again, cached), (first, int(first['pictures']) - 1))
        self.assertIn('1 damaged record', p.stderr)
        again, cached, p = figures()
        self.assertEqual((again, cached, p.stderr), (first, int(first['pictures']), ''))
        # A folder that cannot be is a warning.
        env['DOMOVOI_CACHE'] = '/dev/null'
        again, cached, p = figures()
        self.assertEqual((again, cached), (first, 0))
        self.assertIn('not kept', p.stderr)

    def test_leaks(self):
        """A person and a picture in two folds, a near-duplicate under another name, and training
        pictures of people of the list."""
        names = sorted({x for x in os.listdir(LFW)
                        if len(os.listdir(os.path.join(LFW, x))) >= 2})[:11]
        home = path('leaky')
        rows = []
        for k, name in enumerate(names[:10]):
            os.makedirs(os.path.join(home, name), exist_ok=True)
            pictures = sorted(os.listdir(os.path.join(LFW, name)))[:2]
            for n, p in enumerate(pictures):
                shutil.copy(os.path.join(LFW, name, p), os.path.join(home, name, f'{n}.jpg'))
            other = names[(k + 1) % 10]
            rows.append(f'{name}/0.jpg\t{name}/1.jpg\t1')
            rows.append(f'{name}/0.jpg\t{other}/1.jpg\t0')
        shutil.copy(os.path.join(home, names[0], '0.jpg'), os.path.join(home, names[5], '0.jpg'))
        put('leaky.txt', '\n'.join(rows) + '\n')
        train = path('train')
        for name in (names[3], names[10]):
            os.makedirs(os.path.join(train, name), exist_ok=True)
        shutil.copy(os.path.join(home, names[3], '1.jpg'), os.path.join(train, names[10], 'x.jpg'))
        shutil.copy(os.path.join(home, names[4], '1.jpg'), os.path.join(train, names[3], 'y.jpg'))
        p = self.code(0, run('eval', 'verify', '--images', home, '--pairs', 'leaky.txt',
                             '--aligned', '--model', NETS[0] + '.dmv', '--leak-check', '--train',
                             train, '--train-aligned', '--near', '0.9999'))
        j = self.json(p)['leaks']
        self.assertEqual(j, {'people_in_folds': '10', 'pictures_in_folds': '10',
                             'near_folds': '1', 'near_people': '1', 'train_pictures': '2',
                             'train_people': '1', 'train_near': '2'})
        for word in (names[0] + '/0.jpg', names[5] + '/0.jpg', 'in several folds',
                     f'{names[3]}: is in the training pictures', f'{names[3]}/1.jpg: has a near'):
            self.assertIn(word, p.stderr)
        j = self.json(self.eval('--model', NETS[0] + '.dmv', '--leak-check'))['leaks']
        self.assertEqual((j['people_in_folds'], j['pictures_in_folds']), ('0', '0'))


class Calibrate(unittest.TestCase):
    """A folder of people and one of strangers, made of LFW."""
    @classmethod
    def setUpClass(cls):
        rich = [x for x in sorted(os.listdir(LFW)) if len(os.listdir(os.path.join(LFW, x))) >= 4]
        for name in rich[:12]:
            os.makedirs(path('people/' + name))
            for p in sorted(os.listdir(os.path.join(LFW, name)))[:4]:
                shutil.copy(os.path.join(LFW, name, p), path(f'people/{name}/{p}'))
        os.makedirs(path('strangers'))
        for name in rich[20:60]:
            p = sorted(os.listdir(os.path.join(LFW, name)))[0]
            shutil.copy(os.path.join(LFW, name, p), path('strangers'))
        cls.rich = rich

    def calibrate(self, *args, code=0, folder='people', net=NETS[0]):
        p = run('calibrate', folder, '--aligned', '--model', net + '.dmv', '--json', *args)
        self.assertEqual(p.returncode, code, p.stdout + p.stderr)
        return p

    def vectors(self, folder):
        p = run('embed', folder, '--aligned', '--model', NETS[0] + '.dmv', '-j', '-o', 'v.npy')
        self.assertEqual(p.returncode, 0, p.stderr)
        names = [json.loads(row)['image'] for row in p.stdout.splitlines()]
        return list(zip(names, read_npy('v.npy')))

    def test_same_numbers(self):
        own, strangers = self.vectors('people'), self.vectors('strangers')
        person = [n.split('/')[1] for n, _ in own]
        dot = [[sum(a * b for a, b in zip(x, y)) for _, y in own + strangers] for _, x in own]
        genuine = [dot[i][k] for i in range(len(own)) for k in range(i) if person[i] == person[k]]
        impostors = [dot[i][k] for i in range(len(own)) for k in range(i) if person[i] != person[k]]
        impostors += [v for row in dot for v in row[len(own):]]
        impostors.sort(reverse=True)
        p = self.calibrate('--impostors', 'strangers', '--fmr', '2e-3,1e-2,0.1', '-o', 'mine.dmv')
        j = json.loads(p.stdout)
        self.assertEqual((j['people'], j['pictures'], j['impostor_pictures']), (12, 48, 40))
        self.assertEqual((j['genuine'], j['comparisons']), (len(genuine), len(impostors)))
        self.assertEqual((j['genuine'], j['comparisons']), (72, 48 * 47 // 2 - 72 + 48 * 40))
        self.assertEqual(j['couples'], 66 + 12 * 40)
        self.assertEqual([r['asked'] for r in j['rates']], [0.1, 0.01, 0.002])
        for r in j['rates']:
            k = math.floor(r['asked'] * len(impostors) + 1e-9)
            self.assertTrue(r['supported'])
            self.assertEqual(r['fmr'], r['asked'])
            # The step of 1e-4 above the first that may not pass.
            self.assertLess(impostors[k], r['threshold'] + 1e-6)
            self.assertGreater(impostors[k] + 1e-4 + 1e-6, r['threshold'])
            clear = [v for v in impostors if abs(v - r['threshold']) > 1e-6]
            unclear = len(impostors) - len(clear)
            passed = sum(v > r['threshold'] for v in clear)
            self.assertTrue(passed <= r['accepted'] <= passed + unclear)
            self.assertLessEqual(r['accepted'], k)
            self.assertAlmostEqual(r['measured'], r['accepted'] / len(impostors), places=7)
            self.assertEqual(r['rejected'], sum(v < r['threshold'] for v in genuine))
            # Clopper-Pearson: at each end the tail has a chance of 2.5 %.
            lo, hi = r['interval']
            n, a = len(impostors), r['accepted']
            log = [math.log(math.comb(n, i)) for i in range(a + 1)]
            upper = sum(math.exp(c + i * math.log(hi) + (n - i) * math.log1p(-hi))
                        for i, c in enumerate(log))
            lower = sum(math.exp(c + i * math.log(lo) + (n - i) * math.log1p(-lo))
                        for i, c in enumerate(log[:a]))
            self.assertAlmostEqual(upper, 0.025, places=5)
            self.assertAlmostEqual(1 - lower, 0.025, places=5)
        self.assertEqual(j['written'], 'mine.dmv')
        info = run('model', 'info', 'mine.dmv').stdout
        for r in j['rates']:
            self.assertIn('%.4g at false-match rate %g' % (r['threshold'], r['asked']), info)
        self.assertIn('12 people, 48 pictures, 40 pictures of impostors', info)
        self.assertIn(j['id'], info)
        # verify takes the threshold from there.
        a, b = own[0][0], own[1][0]
        p = run('verify', a, b, '--aligned', '--model', 'mine.dmv', '--fmr', '1e-2', '-j')
        self.assertAlmostEqual(json.loads(p.stdout)['threshold'], j['rates'][1]['threshold'],
                               places=6)

    def test_not_supported(self):
        shutil.copy(path(NETS[0] + '.dmv'), path('net.dmv'))
        before = run('model', 'info', 'net.dmv').stdout
        p = self.calibrate('--fmr', '1e-6', '--dry-run', net='net')
        (r,) = json.loads(p.stdout)['rates']
        self.assertFalse(r['supported'])
        self.assertEqual((r['accepted'], r['interval'][0]), (0, 0))
        n = 48 * 47 // 2 - 72
        self.assertAlmostEqual(r['fmr'], 1 - 0.05 ** (1 / n), places=8)
        self.assertAlmostEqual(r['fmr'], 3 / n, places=4)
        self.assertIn('cannot support a false-match rate of 1e-06', p.stderr)
        self.assertIn('3000000', p.stderr)
        self.assertEqual(run('model', 'info', 'net.dmv').stdout, before)
        p = self.calibrate('--fmr', '0.1,1e-5,1e-6', net='net')
        self.assertEqual(json.loads(p.stdout)['written'], 'net.dmv')
        info = run('model', 'info', 'net.dmv').stdout
        self.assertNotEqual(info, before)
        self.assertEqual(info.count('at false-match rate'), 2)  # 1e-5 and 1e-6 are one
        p = run('verify', 'people/x.jpg', 'people/y.jpg', '--model', 'net.dmv', '--fmr', '1e-6')
        self.assertEqual(p.returncode, 2)

    def test_gallery(self):
        """Thresholds of a gallery are those that identify goes by."""
        detector = os.path.join(SHARED, 'models', 'detect', 'yunet_n_dynamic.onnx')
        if 'no galleries' in run('doctor').stdout:
            self.skipTest('built without galleries')
        run('model', 'import', detector, '-o', 'detect.dmv', '--quiet')
        args = ['--detector', 'detect.dmv', '--min-score', '0.2', '--model', NETS[0] + '.dmv']
        p = run('enrol', 'people', '--largest', '--gallery', 'g.db', *args)
        self.assertEqual(p.returncode, 0, p.stderr)
        picture = f'people/{self.rich[0]}'
        identify = ['identify', picture, '--gallery', 'g.db', '--fmr', '0.05', '-j', *args]
        p = run(*identify)
        self.assertEqual(p.returncode, 2)
        self.assertIn('states no thresholds', p.stderr)
        before = run('model', 'info', NETS[0] + '.dmv').stdout
        p = run('calibrate', 'people', '--gallery', 'g.db', '--fmr', '0.05', '-j', *args)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(json.loads(p.stdout)['written'], 'g.db')
        threshold = json.loads(p.stdout)['rates'][0]['threshold']
        self.assertEqual(run('model', 'info', NETS[0] + '.dmv').stdout, before)
        p = run(*identify)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(p.stdout, run('identify', picture, '--gallery', 'g.db', '--threshold',
                                       str(threshold), '-j', *args).stdout)
        p = run('calibrate', 'people', '--gallery', 'g.db', '--detector', 'detect.dmv', '--model',
                NETS[1] + '.dmv', '-j', '--min-score', '0.2')
        self.assertEqual(p.returncode, 2)
        self.assertIn('belongs to the model', p.stderr)

    def test_refused(self):
        p = self.calibrate(folder='nowhere', code=2)
        self.assertIn('nowhere', p.stderr)
        p = self.calibrate(folder='strangers', code=2)
        self.assertIn('strangers/PERSON/PICTURE.jpg', p.stderr)
        self.assertIn('in no person', p.stderr)
        p = self.calibrate('--fmr', '2', code=2)
        self.assertIn('--fmr 2', p.stderr)
        os.makedirs(path('alone'))
        shutil.copytree(path('people/' + self.rich[0]), path('alone/' + self.rich[0]))
        p = self.calibrate(folder='alone', code=2)
        self.assertIn('nobody to compare with', p.stderr)
        p = self.calibrate('--impostors', 'strangers', '--fmr', '0.02', '--dry-run',
                           folder='alone')
        self.assertIn('couples of people only', p.stderr)
        # One picture under two names: no threshold keeps them apart.
        os.makedirs(path('alone/twin'))
        shutil.copy(path(f'alone/{self.rich[0]}/' + os.listdir(path('alone/' + self.rich[0]))[0]),
                    path('alone/twin/x.jpg'))
        p = self.calibrate('--fmr', '1e-4', '--dry-run', folder='alone', code=2)
        self.assertIn('alike', p.stderr)
        self.assertIn('alone/twin/x.jpg', p.stderr)
        # Strangers of a name of our own are not strangers.
        p = self.calibrate('--impostors', 'alone', '--fmr', '0.1', '--dry-run')
        self.assertIn('4 pictures of the impostors', p.stderr)
        with open(path('alone/twin/x.jpg'), 'w') as f:
            f.write('no picture')
        p = self.calibrate(folder='alone', code=2)
        self.assertIn('1 of 5 pictures are missing', p.stderr)


def prepare():
    for net in NETS:
        onnx = os.path.join(SHARED, 'models', 'embed', net + '.onnx')
        if not os.path.exists(onnx):
            return f'no {onnx}'
        p = run('model', 'import', onnx, '-o', net + '.dmv', '--quiet')
        if p.returncode:
            sys.exit(p.stderr)
    if not os.path.exists(LIST) or not os.path.isdir(LFW):
        return f'no {LIST}'
    put('pairs.txt', small_list())
    return ''


if __name__ == '__main__':
    try:
        missing = prepare()
        if missing:
            print('skipped:', missing)
            sys.exit(77)
        suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])
        ok = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite).wasSuccessful()
        sys.exit(0 if ok else 1)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
