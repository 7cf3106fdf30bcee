# SPDX-License-Identifier: Apache-2.0
"""frte-check from outside.

    test_check.py faults PROGRAM            with a library that has one fault after the other
    test_check.py nets PROGRAM PICTURES     with ours, the default nets and the sample photos;
                                            exits 77 without them
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PART = sys.argv[1]
PROGRAM = os.path.abspath(sys.argv[2])
BUILD = os.environ.get('DOMOVOI_BUILD', '')
CACHE = os.environ.get('DOMOVOI_CACHE', '')
TMP = tempfile.mkdtemp(prefix='domovoi-frte-')


def run(*args):
    return subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=TMP, universal_newlines=True)


def put(path, text):
    with open(os.path.join(TMP, path), 'wb' if isinstance(text, bytes) else 'w') as f:
        f.write(text)


def rows(path):
    with open(os.path.join(TMP, path)) as f:
        return [line.split() for line in f][1:]


class Faults(unittest.TestCase):
    # fault: a part of the line that must say FAIL
    FAULTS = {
        'init-throws': 'initialize: an exception',
        'init-thread': 'initialize: the library runs threads',
        'place': 'initialize: return code 2',
        'stdout': 'the library printed: hello',
        'stderr': 'the library printed: hello',
        'throws': 'an exception left the library',
        'crash': 'killed by signal 6',
        'fork': 'killed by signal 6',
        'leaves': '4 lines in, ',
        'thread': 'the library runs threads',
        'slow': 'time of a template',
        'differs': 'templates differ',
        'empty': 'an empty template',
        'eyes-count': 'one pair of eyes a picture',
        'eyes-outside': 'an eye lies outside',
        'eyes-failed': 'eyes of a picture that failed',
        'several-none': 'as many templates as pairs of eyes',
        'several-missing': 'not implemented',
        'slow-match': 'time of a match',
        'constant': '1 different scores',
        'negative': 'of failed templates, 8 wrong',
        'nan': 'of failed templates, 9 wrong',
        'failed-score': 'of failed templates, 3 wrong',
        'blind': '12 scores of faces, 0 of failed templates, 3 wrong',
        'failed-code': 'of failed templates, 3 wrong',
    }

    @classmethod
    def setUpClass(cls):
        os.makedirs(TMP + '/input')
        os.makedirs(TMP + '/config')
        for i in range(3):
            put(f'p{i}.ppm', b'P6\n2 2\n255\n' + bytes([10 + i * i]) * 12)
            put(f'vp{i}.ppm', b'P6\n2 2\n255\n' + bytes([10 + 2 * i * i + i]) * 12)
        for name in ('black', 'vblack'):
            put(name + '.ppm', b'P6 # a comment\n2 2 255\n' + bytes(12))
        names = ['p0', 'p1', 'p2', 'black']
        put('input/enroll.txt', ''.join(f'{n} {n}.ppm iso\n' for n in names))
        put('input/verif.txt', ''.join(f'v{n} v{n}.ppm iso\n' for n in names))
        put('input/several.txt', 's p1.ppm wild\n')
        put('input/match.txt',
            ''.join(f'p{i}.template vp{k}.template\n' for i in range(3) for k in range(3)) +
            'black.template vp0.template\np0.template vblack.template\n'
            'black.template vblack.template\n')

    def check(self, fault):
        put('config/fault', fault)
        shutil.rmtree(TMP + '/out', ignore_errors=True)
        p = run(PROGRAM, '--forks', '3', 'config', 'input', 'out')
        self.assertTrue(os.path.isdir(TMP + '/config'), 'the folder was not renamed back')
        return p

    def test_no_fault(self):
        p = self.check('none')
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        self.assertNotIn('FAIL', p.stdout)
        self.assertIn('ready: 0 failed', p.stdout)
        self.assertEqual([r[0] for r in rows('out/enroll.log')], ['p0', 'p1', 'p2', 'black'])
        self.assertEqual(rows('out/enroll.log')[3][3], '8')
        match = rows('out/match.log')
        self.assertEqual(match[0][2:4], ['1', '0'])
        self.assertEqual([r[2:4] for r in match[9:]], [['-1', '7']] * 3)

    def test_faults(self):
        for fault, words in self.FAULTS.items():
            with self.subTest(fault=fault):
                p = self.check(fault)
                self.assertEqual(p.returncode, 1, p.stdout + p.stderr)
                self.assertTrue(any(line.startswith('FAIL') and words in line
                                    for line in p.stdout.splitlines()), p.stdout)
                self.assertIn('not ready', p.stdout)

    def test_wrong_input(self):
        def error(words, *args):
            p = run(PROGRAM, *args)
            self.assertEqual(p.returncode, 2, p.stdout + p.stderr)
            self.assertIn(words, p.stderr)
        error('usage', 'config')
        error('usage', '--frobnicate', 'config', 'input', 'x')
        error('--forks', '--forks', '0', 'config', 'input', 'x')
        error('is not a folder', 'nothing', 'input', 'x')
        error('enroll.txt', 'config', 'nothing', 'x')
        error('a new folder', 'config', 'input', 'config')
        os.makedirs(TMP + '/bad', exist_ok=True)
        for name in ('verif', 'match'):
            shutil.copy(f'{TMP}/input/{name}.txt', f'{TMP}/bad/{name}.txt')
        put('bad/enroll.txt', 'a p0.ppm\n')
        error('entry 1', 'config', 'bad', 'x')
        put('bad/enroll.txt', 'a p0.ppm iso\na p1.ppm iso\n')
        error('two entries for a', 'config', 'bad', 'x')
        self.assertFalse(os.path.exists(TMP + '/x'))
        # A picture that is cut short
        put('config/fault', 'none')
        put('short.ppm', b'P6\n2 2\n255\n' + bytes(11))
        put('bad/enroll.txt', 'p0 short.ppm iso\n')
        p = run(PROGRAM, 'config', 'bad', 'x')
        self.assertEqual(p.returncode, 1)
        self.assertIn('short.ppm: is not a binary PPM', p.stdout)


class Nets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.makedirs(TMP + '/input')
        os.makedirs(TMP + '/config')
        for net in ('detect', 'landmarks', 'embed'):
            shutil.copy(f'{BUILD}/models/{net}.dmv', TMP + '/config/')
        put('config/domovoi.conf',
            'detector = detect.dmv\nlandmarks = landmarks.dmv\nembedder = embed.dmv\n')
        p = run(os.path.abspath(sys.argv[3]), BUILD + '/models', CACHE + '/photos', 'input')
        if p.returncode == 77:
            print(p.stdout)
            sys.exit(77)
        assert p.returncode == 0, p.stderr
        cls.faces = int(p.stdout.split()[0])
        cls.p = run(PROGRAM, '--forks', '4', 'config', 'input', 'out')
        print(cls.p.stdout)

    def test_ready(self):
        self.assertEqual(self.p.returncode, 0, self.p.stdout + self.p.stderr)
        self.assertNotIn('FAIL', self.p.stdout)
        self.assertGreaterEqual(self.p.stdout.count('\nok '), 20)

    def test_templates(self):
        for r in rows('out/enroll.log') + rows('out/verif.log'):
            if r[0] == 'noise':  # the second look may see a face in it; frte-check judges the rest
                self.assertIn(r[2:4], (['32', '8'], [str(32 + 4 * 512), '0']), r)
                continue
            if r[0] in ('black', 'tiny', 'white'):
                self.assertEqual(r[2:6], ['32', '8', '0', '0'], r)
                continue
            # Of "half" the first picture is black: no eyes there, a face in the second.
            eyes = ['0', '0'] if r[0] == 'half' else ['1', '1']
            self.assertEqual(r[2:6], [str(32 + 4 * 512), '0'] + eyes, r)
        for r in rows('out/enroll.log'):
            if r[3] == '0' and r[0] != 'half':
                # The person's left eye is on the right of the picture; faces are in the middle.
                xl, yl, xr, yr = map(int, r[6:10])
                self.assertGreater(xl, xr + 20, r)
                self.assertLess(abs((xl + xr) / 2 - 160), 50, r)
                self.assertLess(abs((yl + yr) / 2 - 140), 50, r)

    def test_several(self):
        counts = {}
        for r in rows('out/several.log'):
            counts[r[0]] = counts.get(r[0], 0) + 1
            self.assertEqual(r[3], '8' if r[0] == 'several-black' else '0')
        self.assertEqual(counts.pop('several-black'), 1)
        for name, seen in zip(sorted(counts), (3, 3, 3, 4, 5, 4)):  # counted by eye
            self.assertIn(counts[name], (seen - 1, seen, seen + 1), name)

    def test_scores(self):
        scores = {(r[0], r[1]): float(r[2]) for r in rows('out/match.log')}
        enrolled = [r[0] for r in rows('out/enroll.log') if re.match(r'p\df\d$', r[0])]
        self.assertEqual(len(enrolled), self.faces)

        def score(a, b):
            return scores[a + '.template', b + '.template']
        for a in enrolled:
            mated = score(a, 'v' + a)
            self.assertGreater(mated, 1.5, a)
            for b in enrolled:
                if a != b and a[:2] == b[:2]:  # two faces of one photo are two people
                    self.assertLess(score(a, 'v' + b), mated - 0.2, (a, b))
        first, second = enrolled[:2]
        self.assertGreater(score('two', 'v' + first), score(first, 'v' + first))
        self.assertAlmostEqual(score('half', 'v' + second), score(second, 'v' + second), 5)
        self.assertGreater(score(first, 'grey'), 1.5)
        self.assertAlmostEqual(score('photo1.0', 'photo1.0'), 2, 5)


if __name__ == '__main__':
    if PART == 'nets':
        missing = [p for p in [f'{BUILD}/models/{n}.dmv' for n in ('detect', 'landmarks', 'embed')] +
                   [f'{CACHE}/photos/sample{i}.jpg' for i in range(1, 7)] if not os.path.isfile(p)]
        if missing:
            print('skipped, not there:', *missing)
            sys.exit(77)
        del Faults
    else:
        del Nets
    try:
        unittest.main(argv=sys.argv[:1], verbosity=2)
    finally:
        shutil.rmtree(TMP)
