# SPDX-License-Identifier: Apache-2.0
"""The program from outside: exit codes, JSON, messages, what is left on disk.

    test_cli.py PROGRAM forms|faces

forms needs no nets. faces needs a detector, an embedder and photos; it looks for them in
DOMOVOI_BUILD/models, DOMOVOI_CACHE and DOMOVOI_SHARED and exits 77 without them.
"""
import array
import glob
import http.server
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
PART = sys.argv[2]
SHARED = os.environ.get('DOMOVOI_SHARED', '')
BUILD = os.environ.get('DOMOVOI_BUILD', '')
CACHE = os.environ.get('DOMOVOI_CACHE', '')
TMP = tempfile.mkdtemp(prefix='domovoi-cli-')
MODELS = os.path.join(TMP, 'models')
PHOTOS = []


def run(*args, env=None, stdout=subprocess.PIPE, data=None, program=PROGRAM):
    e = dict(os.environ, DOMOVOI_MODELS=MODELS, HOME=TMP, LC_ALL='C')
    for key in ('DOMOVOI_GALLERY', 'DOMOVOI_CACHE', 'XDG_CACHE_HOME', 'XDG_DATA_HOME'):
        e.pop(key, None)
    e.update(env or {})
    p = subprocess.run([program, *args], stdout=stdout, stderr=subprocess.PIPE, env=e, input=data,
                       cwd=TMP)
    p.err = p.stderr.decode('utf-8', 'replace')
    p.out = (p.stdout or b'').decode('utf-8') if stdout == subprocess.PIPE else ''
    return p


GALLERY_VERBS = ('enrol', 'identify', 'gallery')


def without_galleries():
    return 'no galleries' in run('doctor').out


def without_video():
    return 'no video' in run('doctor').out


def lines(p):
    return [json.loads(line, parse_constant=lambda c: 1 / 0) for line in p.out.splitlines()]


def subprocess_run(args, data):
    p = subprocess.run(args, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TMP)
    p.err = p.stderr.decode('utf-8', 'replace')
    p.out = ''
    return p


def put(name, data):
    path = os.path.join(TMP, name)
    with open(path, 'wb') as f:
        f.write(data)
    return path


class Case(unittest.TestCase):
    def code(self, want, p):
        self.assertEqual(p.returncode, want, f'{p.args}\n{p.out}\n{p.err}')
        return p

    def error(self, word, *args, **kw):
        p = self.code(2, run(*args, **kw))
        self.assertIn(word, p.err)
        self.assertTrue(p.err.startswith('domovoi'), p.err)
        return p


class Forms(Case):
    VERBS = ['detect', 'align', 'embed', 'verify', 'enrol', 'identify', 'gallery', 'model',
             'bench', 'doctor', 'eval', 'calibrate', 'video', 'train', 'motion']
    SUBS = {'gallery': ['list', 'show', 'rename', 'remove', 'export', 'import', 'backup',
                        'restore', 'verify'],
            'model': ['export', 'import', 'info', 'plan', 'quantize', 'verify'],
            'eval': ['verify', 'identify', 'cross', 'fairness', 'compress', 'detect'],
            'bench': ['model', 'search', 'pipeline'], 'video': ['info', 'copy'],
            'motion': ['probe']}

    def test_help(self):
        p = self.code(0, run('--help'))
        for verb in self.VERBS:
            self.assertIn('\n  ' + verb + ' ', p.out)
            if verb in GALLERY_VERBS and without_galleries():
                self.error('no galleries', verb)
                continue
            if verb == 'video' and without_video():
                self.error('no video', verb)
                continue
            if verb == 'train' and not os.path.exists(PROGRAM + '-train'):
                self.error('no trainer', verb)
                continue
            h = self.code(0, run(verb, '--help'))
            self.assertIn('usage: domovoi ' + verb, h.out)
            self.assertEqual(h.out, run('help', verb).out)
            for sub in self.SUBS.get(verb, []):
                self.assertIn('\n  ' + sub + ' ', h.out)
                s = self.code(0, run(verb, sub, '--help'))
                self.assertIn(f'usage: domovoi {verb} {sub}', s.out)
                self.assertIn('examples:\n  domovoi ' + verb, s.out)
            if verb not in self.SUBS:
                self.assertIn('examples:\n  domovoi ' + verb, h.out)
        h = run('bench', '--help').out
        for example in ('--model', 'search', 'pipeline'):
            self.assertIn('\n  domovoi bench ' + example, h.partition('examples:')[2])
        self.assertRegex(self.code(0, run('--version')).out, r'^domovoi \d+\.\d+\.\d+\n$')

    def test_train(self):
        if not os.path.exists(PROGRAM + '-train'):
            self.skipTest('built without the trainer')
        rng = random.Random(4)
        for person in range(3):
            for k in range(6):
                os.makedirs(os.path.join(TMP, 'people', str(person)), exist_ok=True)
                put(f'people/{person}/{k}.ppm', b'P6 112 112 255 ' + bytes(
                    min(255, max(0, int((i // 3 % 112 * (person + 1) * 3 + i % 3 * 60) % 256 +
                                        rng.gauss(0, 9)))) for i in range(3 * 112 * 112)))
        some = ['train', '--data', 'people', '-o', 'trained.dmv', '--width', '0.125', '--depth', '0.3',
                '--dim', '32', '--batch', '6', '--epochs', '4', '--threads', '2', '--rate', '0.02']
        rows = lines(self.code(0, run(*some, '--json')))
        self.assertEqual(rows[-1]['step'], 12)
        self.assertTrue(all(r['loss'] > 0 and r['images_per_s'] > 0 for r in rows))
        (info,) = lines(self.code(0, run('model', 'info', 'trained.dmv', '--json')))
        self.assertEqual((info['metadata']['kind'], info['metadata']['dim']), ('embedder', 32))
        self.assertGreater(json.loads(run('bench', 'trained.dmv', '--runs', '2', '--json').out)['mmac'], 1)
        # a student of that net, with and without labels; the second run finds the teacher's vectors
        student = [('16' if a == '32' else 'student.dmv' if a == 'trained.dmv' else a) for a in some]
        for method in ('margin,angular:2', 'hinton,relational', 'adadistill'):
            self.code(0, run(*student, '--teacher', 'trained.dmv', '--distill', method, '--teacher-cache',
                             'teacher.vectors'))
        (info,) = lines(self.code(0, run('model', 'info', 'student.dmv', '--json')))
        self.assertEqual(info['metadata']['dim'], 16)
        self.assertIn('teacher: adadistill', info['metadata']['trained'])
        self.assertGreater(os.path.getsize(os.path.join(TMP, 'teacher.vectors')), 18 * 16 * 4)
        alone = ['people/0' if a == 'people' else a for a in student]
        self.code(0, run(*alone, '--teacher', 'trained.dmv', '--distill', 'embedding'))
        self.error('no labels', *alone, '--teacher', 'trained.dmv')
        self.error('wants --teacher', *student, '--distill', 'margin')
        self.error('no method', *student, '--teacher', 'trained.dmv', '--distill', 'magic')
        self.error('--dim 32', *[('64' if a == '16' else a) for a in student], '--teacher', 'trained.dmv')
        self.error('at least two of them', *['people/0' if a == 'people' else a for a in some])
        self.error('cannot be read', *['nowhere' if a == 'people' else a for a in some])
        self.error('the form is', 'train', '--data', 'people')
        self.error('--resume wants', *some, '--resume')
        self.error('arcface', *some, '--loss', 'x')

    def test_wrong_words(self):
        self.error('no verb')
        self.error('did you mean `domovoi detect`', 'detcet')
        self.error('unknown verb', 'frobnicate')
        self.error('did you mean --json', 'detect', '--jsn', 'x.jpg')
        self.error('unknown option', 'detect', '--frobnicate')
        if not without_galleries():
            self.error('did you mean `domovoi gallery list`', 'gallery', 'lsit')
        self.error('no picture', 'detect')
        self.error('two pictures', 'verify', 'a.jpg')
        self.error('too many', 'verify', 'a', 'b', 'c')
        self.error('needs a value', 'detect', '--max-side')
        self.error('not a whole number', 'detect', '--threads', 'two', 'x.jpg')
        self.error('--cpu', 'detect', '--cpu', 'z80', 'x.jpg')
        self.error('no output', 'align', 'x.jpg')
        self.error('--pairs', 'motion', 'probe', '--pairs', '0')
        self.error('--noise', 'motion', 'probe', '--noise', '200')
        self.error('one net', 'motion', 'probe', '--detector', 'a.dmv', 'b.dmv')
        self.error('nowhere.dmv', 'motion', 'probe', 'nowhere.dmv')
        self.error('--images', 'eval', 'verify')
        self.error('a gallery and probes', 'eval', 'identify')
        self.error('--model-gallery', 'eval', 'cross')
        self.error('--labels', 'eval', 'fairness')
        self.error('one folder of people', 'calibrate')
        self.error('--far 2', 'eval', 'verify', '--images', '.', '--pairs', 'p', '--far', '2')
        self.code(2, run('gallery'))
        self.error('did you mean `domovoi bench search`', 'bench', 'serach', '--size', '10')
        p = self.error('unknown', 'bench', 'frobnicate')
        self.assertIn('`domovoi bench --help`', p.err)
        self.error('before the options', 'bench', '--runs', '3', 'search')

    def test_full_disk_and_closed_pipe(self):
        if os.path.exists('/dev/full'):
            with open('/dev/full', 'wb') as full:
                p = run('--help', stdout=full)
            self.code(2, p)
            self.assertIn('standard output', p.err)
        r, w = os.pipe()
        os.close(r)
        p = run('--help', stdout=w)
        os.close(w)
        self.code(2, p)

    def test_missing_files(self):
        self.error('nowhere.jpg', 'detect', 'nowhere.jpg')
        self.error('nowhere.dmv', 'model', 'info', 'nowhere.dmv')
        for form in ([], ['model']):
            self.error('nowhere.dmv', 'bench', *form, '--model', 'nowhere.dmv')
            self.error('nowhere.dmv', 'bench', *form, 'nowhere.dmv')
        self.error('nowhere.jpg', 'bench', 'pipeline', 'nowhere.jpg')
        self.error('nowhere.onnx', 'model', 'import', 'nowhere.onnx', '-o', 'n.dmv')
        self.error('nowhere.txt', 'eval', 'verify', '--images', '.', '--pairs', 'nowhere.txt')
        self.error('nowhere', 'eval', 'identify', '--people', 'nowhere')
        self.error('nowhere.tsv', 'eval', 'fairness', '--people', '.', '--labels', 'nowhere.tsv')
        self.error('nowhere.dmv', 'eval', 'cross', '--model-gallery', 'nowhere.dmv', '--model-probe',
                   'nowhere.dmv', '--people', '.')
        if not without_galleries():
            self.error('nowhere.db', 'gallery', 'list', '--gallery', 'nowhere.db')
        self.assertFalse(os.path.exists(os.path.join(TMP, 'nowhere.db')))

    def test_no_nets(self):
        if default_nets():
            self.skipTest('default nets are installed')
        put('p.ppm', b'P6 2 2 255 ' + bytes(12))
        for verb, option in (('detect', '--detector'), ('embed', '--detector'),
                             ('bench', '--model')):
            p = self.error(option, verb, *([] if verb == 'bench' else ['p.ppm']))
            self.assertIn('./run build', p.err)
        self.assertIn('./run build', self.error('--detector', 'bench', 'pipeline', 'p.ppm').err)

    def test_bad_nets(self):
        for name, data in (('zero', b''), ('text', b'hello\n' * 50), ('noise', os.urandom(5000))):
            onnx, dmv = put(name + '.onnx', data), put(name + '.dmv', data)
            self.code(2, run('model', 'import', onnx, '-o', 'made.dmv'))
            self.assertFalse(os.path.exists(os.path.join(TMP, 'made.dmv')))
            self.error(name + '.dmv', 'model', 'verify', dmv)
        old = put('old.dmv', b'what was here')
        self.code(2, run('model', 'import', os.path.join(TMP, 'noise.onnx'), '-o', old))
        with open(old, 'rb') as f:
            self.assertEqual(f.read(), b'what was here')

    # Two boxes and the scores of three classes for any picture, in ncnn's two files.
    NCNN = (b'7767517\n4 4\nInput in 0 1 x 0=32 1=32 2=3\nReLU r 1 1 x y\n'
            b'MemoryData b 0 1 ssd_boxes 0=4 1=2\nMemoryData s 0 1 ssd_scores 0=3 1=2\n')

    def test_objects(self):
        if 'no ONNX import' in run('doctor').out:
            self.skipTest('built without import')
        text = put('objects.param', self.NCNN)
        form = ('model', 'import', text, '-o', 'objects.dmv', '--kind', 'detector', '--decoder',
                'ssd', '--color', 'rgb', '--labels', 'cat,person,dog')
        if os.path.exists(os.path.join(TMP, 'objects.bin')):
            os.remove(os.path.join(TMP, 'objects.bin'))
        p = self.error('objects.bin', *form)
        self.assertIn('wanted beside it', p.err)
        numbers = array.array('f', [0.25, 0.5, 0.75, 1, 0, 0, 0.5, 0.5, 0.1, 0.9, 0, 0, 0, 0.7])
        put('objects.bin', numbers.tobytes()[:-4])
        self.error("layer 's' (MemoryData, line 6)", *form)
        put('objects.bin', numbers.tobytes())
        self.error('did you mean ssd', *form[:7], '--decoder', 'sdd')
        self.code(0, run(*form))
        info = lines(self.code(0, run('model', 'info', 'objects.dmv', '--json')))[0]
        self.assertEqual(info['metadata']['labels'], 'cat,person,dog')
        put('square.ppm', b'P6 200 100 255 ' + bytes(60000))
        detect = ('detect', 'square.ppm', '--detector', 'objects.dmv')
        p = lines(self.code(0, run(*detect, '--objects', '--json')))[0]
        # the picture fills the upper half of the input
        self.assertEqual([(o['label'], o['class'], o['score']) for o in p['objects']],
                         [('person', 1, 0.9), ('dog', 2, 0.7)])
        self.assertEqual(p['objects'][0]['box'], [100, 50, 100, 100])
        p = lines(self.code(0, run(*detect, '--class', 'dog', '--json')))[0]
        self.assertEqual(len(p['objects']), 1)
        self.assertIn('0 objects', self.code(0, run(*detect, '--class', 'cat')).out)
        self.assertIn('person', self.code(0, run(*detect, '--objects')).out)
        self.error('cow', *detect, '--class', 'cow')
        self.error('--scales', *detect, '--objects', '--scales', '2')
        self.error('objects of many classes', *detect)

    def test_wrong_tflite(self):
        if 'no ONNX import' in run('doctor').out:
            self.skipTest('built without import')
        for name, data in (('cut', b'\x18\0\0\0TFL3'), ('far', b'\xff' * 4 + b'TFL3' * 20)):
            path = put(name + '.tflite', data)
            self.error(name + '.tflite', 'model', 'import', path, '-o', 'never.dmv')
        self.error('TensorFlow Lite', 'model', 'import', put('no.tflite', b'no'), '-o', 'never.dmv')
        self.assertFalse(os.path.exists(os.path.join(TMP, 'never.dmv')))

    def check_times(self, t):
        self.assertTrue(0 < t['min_ms'] <= t['median_ms'] <= t['p95_ms'], t)
        self.assertTrue(t['min_ms'] <= t['mean_ms'], t)

    def test_bench_search(self):
        args = ['bench', 'search', '--size', '3000', '--dim', '100', '--top', '7', '--runs', '9']
        (d,) = lines(self.code(0, run(*args, '--probes', '11', '--json', '-t', '2')))
        self.assertEqual([d[k] for k in ('size', 'dim', 'top', 'probes', 'threads')],
                         [3000, 100, 7, 11, 2])
        self.assertEqual([f['form'] for f in d['forms']], ['float', 'int8', 'fp16'])
        self.assertEqual([f['agreement'] for f in d['forms']], [None, 1, 1])
        self.assertIs(d['same_answers'], True)
        self.assertGreater(d['checked_probes'], 20)
        # Bytes of a vector as each form reads it; 11 probes are two readings.
        for f, least, most in zip(d['forms'], (400, 104, 200), (512, 140, 300)):
            self.check_times(f)
            self.assertEqual(f['runs'], 9)
            self.assertAlmostEqual(f['probes_per_s'] * f['median_ms'] / 11e3, 1, places=3)
            read = f['gb_per_s'] * f['median_ms'] * 1e6 / 2 / 3000
            self.assertTrue(least <= read <= most, (f, read))
        held = [f['memory_bytes'] for f in d['forms']]
        self.assertTrue(3000 * 400 < held[0] < held[1] < held[2] < 2 * held[0], held)
        if os.path.exists('/proc/self/status'):
            self.assertGreater(d['peak_memory_bytes'], held[2])
        # Text: a heading, a row a form, and the same JSON.
        p = self.code(0, run(*args, '--cpu', 'c'))
        rows = p.out.splitlines()
        self.assertIn('3000 made-up vectors of 100', rows[0])
        self.assertEqual([r.split()[0] for r in rows[1:5]], ['form', 'float', 'int8', 'fp16'])
        self.assertTrue(rows[3].endswith('the same as float') and len(rows) == 6, p.out)
        d = json.loads(rows[5])
        self.assertEqual((d['cpu'], d['threads'], d['probes'], d['same_answers']),
                         ('c', 1, 1, True))
        # One form; fewer vectors than matches.
        for form, same in (('float', None), ('int8', True), ('fp16', True)):
            (d,) = lines(self.code(0, run('bench', 'search', '--size', '3', '--form', form,
                                          '--runs', '2', '-q')))
            self.assertEqual([f['form'] for f in d['forms']], [form])
            self.assertIs(d['same_answers'], same)

    def test_bench_bad_input(self):
        for option, value in (('--size', '0'), ('--size', '2000000000'), ('--dim', '1'),
                              ('--top', '0'), ('--top', '5000'), ('--probes', '0'),
                              ('--form', 'int4'), ('--runs', '2000000')):
            self.assertEqual(self.error(option, 'bench', 'search', option, value).out, '')
        self.error('not a whole number', 'bench', 'search', '--size', 'many')
        self.error('one argument too many', 'bench', 'search', 'embed.dmv')
        self.error('smaller --size', 'bench', 'search', '--size', '100000000', '--dim', '65536')
        self.error('--runs', 'bench', 'pipeline', '--runs', '2000000', 'x.jpg')
        self.error('--max-side', 'bench', 'pipeline', '--max-side', '7', 'x.jpg')
        alone = os.path.join(TMP, 'alone')
        os.makedirs(alone)
        shutil.copy(PROGRAM, alone)
        self.error('name a picture', 'bench', 'pipeline',
                   program=os.path.join(alone, os.path.basename(PROGRAM)))

    def clip(self, name, frames=30):
        folder = os.path.join(TMP, name)
        os.makedirs(folder)
        for k in range(frames):
            row = bytes(60 + (x * 2 + k * 3) % 150 for x in range(96 * 3))
            with open(os.path.join(folder, '%d.ppm' % k), 'wb') as f:
                f.write(b'P6 96 64 255 ' + row * 64)
        return name

    def test_video(self):
        if without_video() or 'FFmpeg\'s libraries are there' not in run('doctor').out:
            self.skipTest('no video in this build, or no FFmpeg on this machine')
        seq = self.clip('seq')
        (d,) = lines(self.code(0, run('video', 'info', seq, '--rate', '10', '-j')))
        self.assertEqual((d['kind'], d['frames'], d['duration'], d['live'], d['video']),
                         ('folder', 30, 3, False, 0))
        (d,) = lines(self.code(0, run('video', 'copy', seq, '--rate', '10', '-o', 'a.mp4', '-j')))
        self.assertEqual((d['frames'], d['width'], d['height'], d['dropped'], d['corrupt']),
                         (30, 96, 64, 0, 0))
        self.assertEqual(d['bytes'], os.path.getsize(os.path.join(TMP, 'a.mp4')))
        p = self.code(0, run('video', 'info', 'a.mp4', 'seq'))
        self.assertIn('96 x 64, 10 frames/s', p.out)
        self.assertIn('30 frames', p.out)
        for args, frames in ((['--max-fps', '5'], 15), (['--frames', '7'], 7),
                             (['--seconds', '1'], 10)):
            (d,) = lines(self.code(0, run('video', 'copy', 'a.mp4', '-o', 'b.mp4', '-j', *args)))
            self.assertEqual(d['frames'], frames, args)
        (d,) = lines(self.code(0, run('video', 'copy', 'a.mp4', '-o', 'b.mp4', '--size', '64x64',
                                      '-j', '-t', '2')))
        self.assertEqual((d['width'], d['height']), (64, 64))
        # Degraded copies: the same seed, the same file.
        made = []
        for seed in ('1', '1', '2'):
            self.code(0, run('video', 'copy', 'a.mp4', '-o', 'c.mp4', '--degrade',
                             'gain=5,noise,rain=300,jpeg=50,h264=200k', '--seed', seed, '-q'))
            with open(os.path.join(TMP, 'c.mp4'), 'rb') as f:
                made.append(f.read())
        self.assertEqual(made[0], made[1])
        self.assertNotEqual(made[0], made[2])
        # Through standard input and output.
        with open(os.path.join(TMP, 'a.mp4'), 'rb') as f:
            data = f.read()
        p = self.code(0, subprocess_run([PROGRAM, 'video', 'copy', '-', '-o', '-'], data))
        put('piped.mp4', p.stdout)
        (d,) = lines(self.code(0, run('video', 'info', 'piped.mp4', '-j')))
        self.assertEqual(d['streams'][0]['width'], 96)

    def test_video_bad_input(self):
        if without_video() or 'FFmpeg\'s libraries are there' not in run('doctor').out:
            self.skipTest('no video in this build, or no FFmpeg on this machine')
        seq = self.clip('short', 3)
        self.error('nowhere.mp4', 'video', 'info', 'nowhere.mp4')
        self.error('no source', 'video', 'info')
        self.error('no source', 'video', 'copy', '-o', 'x.mp4')
        self.error('no output', 'video', 'copy', seq)
        for args in (['--degrade', 'fog'], ['--size', '0x9'], ['--bitrate', 'fast'],
                     ['--max-fps', '0'], ['--crf', '99'], ['--transport', 'pigeon'],
                     ['--crf', '20', '--bitrate', '1M'], ['--timeout', '0'], ['--seconds', '-1']):
            self.error('', 'video', 'copy', seq, '-o', 'x.mp4', *args)
            self.assertFalse(os.path.exists(os.path.join(TMP, 'x.mp4')), args)
        put('text.mp4', b'no video at all ' * 20)
        self.error('text.mp4', 'video', 'copy', 'text.mp4', '-o', 'x.mp4')
        self.error('x.mp4', 'video', 'copy', seq, '-o', 'no/folder/x.mp4')
        p = self.error('me:***@', 'video', 'info', 'rtsp://me:secret@127.0.0.1:9/x')
        self.assertNotIn('secret', p.err)
        if os.path.exists('/dev/full'):
            self.error('/dev/full', 'video', 'copy', seq, '-o', '/dev/full')
        # Sound alone is no video: told, and not an error.
        put('tone.wav', b'RIFF' + (36 + 8000).to_bytes(4, 'little') + b'WAVEfmt ' +
            bytes([16, 0, 0, 0, 1, 0, 1, 0]) + (8000).to_bytes(4, 'little') * 2 +
            bytes([1, 0, 8, 0]) + b'data' + (8000).to_bytes(4, 'little') +
            bytes(128 + k % 50 for k in range(8000)))
        (d,) = lines(self.code(1, run('video', 'info', 'tone.wav', '-j')))
        self.assertIsNone(d['video'])
        self.assertEqual(d['streams'][0]['type'], 'audio')
        self.error('no video in it', 'video', 'copy', 'tone.wav', '-o', 'x.mp4')

    def test_video_http(self):
        if without_video() or 'FFmpeg\'s libraries are there' not in run('doctor').out:
            self.skipTest('no video in this build, or no FFmpeg on this machine')
        self.code(0, run('video', 'copy', self.clip('web', 20), '-o', 'web.mp4', '-q'))
        with open(os.path.join(TMP, 'web.mp4'), 'rb') as f:
            data = f.read()
        # Fragmented: to be read from the front, as this server cannot do otherwise.
        put('front.mp4', self.code(0, subprocess_run([PROGRAM, 'video', 'copy', '-', '-o', '-'],
                                                     data)).stdout)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=TMP)

            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = 'http://127.0.0.1:%d/' % server.server_address[1]
        (d,) = lines(self.code(0, run('video', 'copy', address + 'front.mp4', '-o', 'got.mp4',
                                      '-j')))
        self.assertEqual((d['frames'], d['reconnects'], d['source']),
                         (20, 0, address + 'front.mp4'))
        self.error('404', 'video', 'info', address + 'nowhere.mp4')
        server.shutdown()
        server.server_close()

    def test_video_interrupt(self):
        if without_video() or 'FFmpeg\'s libraries are there' not in run('doctor').out:
            self.skipTest('no video in this build, or no FFmpeg on this machine')
        self.code(0, run('video', 'copy', self.clip('live', 60), '-o', 'live.mp4', '-q'))
        with open(os.path.join(TMP, 'live.mp4'), 'rb') as f:
            data = f.read()
        # Fragments can be read while the pipe is still open.
        whole = self.code(0, subprocess_run([PROGRAM, 'video', 'copy', '-', '-o', '-'], data))
        p = subprocess.Popen([PROGRAM, 'video', 'copy', '-', '-o', 'kept.mp4', '-j'], cwd=TMP,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(whole.stdout)
        p.stdin.flush()
        time.sleep(3)
        p.send_signal(signal.SIGINT)
        out = p.stdout.read()
        p.stdin.close()
        self.assertEqual(p.wait(), 0)
        d = json.loads(out)
        self.assertGreater(d['frames'], 10)
        self.code(0, run('video', 'info', 'kept.mp4'))

    def test_doctor(self):
        p = run('doctor', '--json')
        self.assertIn(p.returncode, (0, 1))
        d = lines(p)[0]
        self.assertEqual(d['self-test']['state'], 'ok')
        self.assertEqual(p.returncode, 1 if d['problems'] else 0)


def default_nets():
    return os.path.exists(os.path.join(os.path.dirname(PROGRAM), 'models', 'detect.dmv')) or \
        glob.glob('/usr/*/share/domovoi/models/detect.dmv') or \
        glob.glob('/usr/share/domovoi/models/detect.dmv')


class Faces(Case):
    @classmethod
    def setUpClass(cls):
        cls.photo = PHOTOS[0]
        cls.t = ['--threshold', '0.5']

    def test_detect(self):
        p = self.code(0, run('detect', self.photo, '--json'))
        (d,) = lines(p)
        self.assertEqual(list(d), ['image', 'width', 'height', 'faces'])
        self.assertEqual(d['image'], self.photo)
        self.assertGreater(len(d['faces']), 0)
        for f in d['faces']:
            self.assertEqual(list(f), ['box', 'score', 'landmarks', 'quality'])
            self.assertEqual([len(f['box']), len(f['landmarks'])], [4, 5])
            self.assertTrue(0.6 <= f['score'] <= 1 and 0 <= f['quality'] <= 1)
            x, y, w, h = f['box']
            for px, py in f['landmarks']:
                self.assertTrue(x - w / 4 <= px <= x + 1.25 * w and y - h / 4 <= py <= y + 1.25 * h)
        scores = [f['score'] for f in d['faces']]
        self.assertEqual(scores, sorted(scores, reverse=True))
        one = self.code(0, run('detect', self.photo, '-j', '--cpu', 'c', '-t', '1'))
        self.assertEqual(len(lines(one)[0]['faces']), len(d['faces']))
        self.assertIn(f'{len(d["faces"])} face', self.code(0, run('detect', self.photo)).out)

    def test_detect_several(self):
        zero, text = put('zero.jpg', b''), put('text.jpg', b'no picture\n')
        black = put('black "1"\n.ppm', b'P6 64 48 255 ' + bytes(64 * 48 * 3))
        p = self.code(2, run('detect', zero, text, black, 'nowhere.jpg', self.photo, '--json'))
        for word in ('zero.jpg', 'text.jpg', 'nowhere.jpg'):
            self.assertIn(word, p.err)
        d = lines(p)
        self.assertEqual([x['image'] for x in d], [black, self.photo])
        self.assertEqual(d[0], {'image': black, 'width': 64, 'height': 48, 'faces': []})
        odd = os.path.join(os.fsencode(TMP), b'odd\xff.ppm')
        shutil.copy(black, odd)
        self.assertIn('\ufffd', lines(self.code(0, run('detect', odd, '-j')))[0]['image'])

    def test_draw(self):
        if 'no drawing' in run('doctor').out:
            self.skipTest('built without cairo')
        self.code(0, run('detect', self.photo, '--draw', 'drawn.png'))
        with open(os.path.join(TMP, 'drawn.png'), 'rb') as f:
            self.assertEqual(f.read(8), b'\x89PNG\r\n\x1a\n')
        self.code(0, run('detect', self.photo, self.photo, '-q', '--draw', 'drawn'))
        self.assertEqual(len(os.listdir(os.path.join(TMP, 'drawn'))), 2)

    def test_align_embed_verify(self):
        self.code(0, run('align', self.photo, '--best', '-o', 'best.png'))
        n = len(lines(run('detect', self.photo, '-j'))[0]['faces'])
        self.code(0, run('align', self.photo, '-o', 'crops/'))
        crops = sorted(os.listdir(os.path.join(TMP, 'crops')))
        self.assertEqual(len(crops), n)
        self.code(0, run('align', self.photo, '-o', 'face.png'))
        self.assertTrue(os.path.exists(os.path.join(TMP, 'face.png')))
        (a,) = lines(self.code(0, run('embed', 'best.png', '--aligned', '--json')))
        v = a['faces'][0]['embedding']
        self.assertAlmostEqual(math.sqrt(sum(x * x for x in v)), 1, places=5)
        self.assertEqual((a['width'], a['height']), (112, 112))
        (b,) = lines(self.code(0, run('embed', self.photo, '--best', '--json', '-o', 'v.npy')))
        w = b['faces'][0]['embedding']
        self.assertEqual(len(w), len(v))
        self.assertGreater(sum(x * y for x, y in zip(v, w)), 0.99)
        with open(os.path.join(TMP, 'v.npy'), 'rb') as f:
            raw = f.read()
        self.assertEqual(raw[:6], b'\x93NUMPY')
        stored = array.array('f', raw[128:])
        self.assertIn(f"'shape': (1, {len(v)})", raw[:128].decode('latin-1'))
        for x, y in zip(stored, w):
            self.assertEqual(x, array.array('f', [y])[0])
        p = self.code(0, run('verify', self.photo, self.photo, '--json', *self.t))
        (d,) = lines(p)
        self.assertEqual(list(d), ['same', 'score', 'threshold', 'fmr'])
        self.assertTrue(d['same'] and d['score'] > 0.999 and d['fmr'] is None)
        p = self.code(1, run('verify', self.photo, PHOTOS[1], '--json', '--threshold', '0.999'))
        self.assertFalse(lines(p)[0]['same'])
        put('black.ppm', b'P6 64 48 255 ' + bytes(64 * 48 * 3))
        self.error('black.ppm', 'verify', self.photo, 'black.ppm', *self.t)
        self.error('black.ppm', 'verify', 'black.ppm', self.photo, *self.t)
        self.error('112 x 112', 'embed', '--aligned', 'black.ppm')
        self.error('no face', 'align', 'black.ppm', '-o', 'x.png')
        self.assertFalse(os.path.exists(os.path.join(TMP, 'x.png')))

    @unittest.skipIf(PART == 'faces' and without_galleries(), 'built without galleries')
    def test_gallery(self):
        g = ['--gallery', 'round.db']
        for i, name in enumerate(('Anna B', 'Zo\u00eb')):
            d = os.path.join(TMP, 'people', name)
            os.makedirs(d, exist_ok=True)
            self.code(0, run('align', PHOTOS[i], '--best', '-o', os.path.join(TMP, 'c.png')))
            shutil.copy(PHOTOS[i], d)
        p = self.code(0, run('enrol', *g, 'people/', '--largest', '--crops', '--json'))
        self.assertEqual([(x['subject'], x['enrolled']) for x in lines(p)],
                         [('Anna B', 1), ('Zo\u00eb', 1)])
        p = self.code(0, run('enrol', *g, 'people', '--largest', '--json'))
        self.assertEqual([(x['enrolled'], x['already']) for x in lines(p)], [(0, 1), (0, 1)])
        p = self.code(0, run('identify', *g, PHOTOS[0], PHOTOS[1], '--json', '--top', '2', *self.t))
        for d, name in zip(lines(p), ('Anna B', 'Zo\u00eb')):
            top = [f['subjects'][0] for f in d['faces'] if f['subjects']]
            self.assertIn(name, [s['name'] for s in top])
            self.assertGreater(max(s['score'] for s in top), 0.999)
            for f in d['faces']:
                self.assertEqual(list(f)[-1], 'subjects')
                s = [x['score'] for x in f['subjects']]
                self.assertEqual(s, sorted(s, reverse=True))
        self.assertIn('Anna B', self.code(0, run('identify', *g, PHOTOS[0], *self.t)).out)
        put('black.ppm', b'P6 64 48 255 ' + bytes(64 * 48 * 3))
        p = self.code(1, run('identify', *g, 'black.ppm', '--json', *self.t))
        self.assertEqual(lines(p)[0]['faces'], [])
        p = self.error('black.ppm', 'enrol', *g, '--name', 'Nobody', 'black.ppm')
        self.assertIn('no face', p.err)
        if len(lines(run('detect', PHOTOS[0], '-j'))[0]['faces']) > 1:
            self.error('faces', 'enrol', *g, '--name', 'Crowd', PHOTOS[0])
        self.error('--name', 'enrol', *g, PHOTOS[0])
        names = [x['name'] for x in lines(self.code(0, run('gallery', 'list', *g, '--json')))]
        self.assertEqual(names, ['Anna B', 'Zo\u00eb'])

        self.code(0, run('gallery', 'verify', *g))
        self.code(0, run('gallery', 'backup', 'b.db', *g))
        self.code(0, run('gallery', 'rename', 'Anna B', 'Anna', *g))
        self.error('Anna B', 'gallery', 'rename', 'Anna B', 'X', *g)
        self.error('already', 'gallery', 'rename', 'Anna', 'Zo\u00eb', *g)
        (d,) = lines(self.code(0, run('gallery', 'show', 'Anna', *g, '--json')))
        self.assertTrue(d['crop'])
        self.code(0, run('gallery', 'export', 'x.jsonl', *g))
        self.code(0, run('gallery', 'import', 'x.jsonl', '--gallery', 'other.db'))
        p = self.code(0, run('gallery', 'list', '--gallery', 'other.db', '-j'))
        self.assertEqual([x['name'] for x in lines(p)], ['Anna', 'Zo\u00eb'])
        with open(os.path.join(TMP, 'x.jsonl'), 'rb') as f:
            put('cut.jsonl', f.read()[:-100])
        self.error('cut.jsonl', 'gallery', 'import', 'cut.jsonl', '--gallery', 'cut.db')
        self.assertFalse(os.path.exists(os.path.join(TMP, 'cut.db')))
        self.code(0, run('gallery', 'remove', 'Anna', *g))
        self.error('Anna', 'gallery', 'remove', 'Anna', *g)
        self.code(0, run('gallery', 'restore', 'b.db', *g))
        names = [x['name'] for x in lines(run('gallery', 'list', *g, '-j'))]
        self.assertEqual(names, ['Anna B', 'Zo\u00eb'])
        put('junk.db', b'junk' * 4096)
        self.error('junk.db', 'gallery', 'verify', '--gallery', 'junk.db')
        self.error('junk.db', 'gallery', 'restore', 'junk.db', *g)
        names = [x['name'] for x in lines(run('gallery', 'list', *g, '-j'))]
        self.assertEqual(len(names), 2)

    @unittest.skipIf(PART == 'faces' and without_galleries(), 'built without galleries')
    def test_default_gallery(self):
        env = {'XDG_DATA_HOME': os.path.join(TMP, 'xdg')}
        self.code(0, run('enrol', '--largest', '--name', 'A', self.photo, env=env))
        self.assertTrue(os.path.exists(os.path.join(TMP, 'xdg', 'domovoi', 'gallery.db')))
        env = {'DOMOVOI_GALLERY': os.path.join(TMP, 'env.db')}
        self.code(0, run('enrol', '--largest', '--name', 'A', self.photo, env=env))
        self.assertIn('A', self.code(0, run('gallery', 'list', env=env)).out)

    def test_model(self):
        net = os.path.join(MODELS, 'embed.dmv')
        (d,) = lines(self.code(0, run('model', 'info', net, '--json')))
        self.assertEqual(d['metadata']['kind'], 'embedder')
        self.assertRegex(d['id'], '^[0-9a-f]{32}$')
        self.code(0, run('model', 'verify', net))
        with open(net, 'rb') as f:
            data = bytearray(f.read())
        put('cut.dmv', data[:-1])
        self.error('cut.dmv', 'model', 'verify', 'cut.dmv')
        data[len(data) // 2] ^= 1
        put('flipped.dmv', data)
        self.error('flipped.dmv', 'model', 'verify', 'flipped.dmv')
        self.error('not a face detector', 'detect', self.photo, '--detector', net)
        steps = lines(self.code(0, run('model', 'plan', net, '--json')))
        total = steps.pop()
        self.assertEqual(sum(s['macs'] for s in steps), total['macs'])
        for s in steps:
            if 'offset' in s:
                self.assertLessEqual(s['offset'] + s['bytes'], total['arena'])
        self.code(0, run('model', 'plan', net))

    def test_truncated_onnx(self):
        found = glob.glob(os.path.join(SHARED, 'models/embed/*.onnx')) + \
            glob.glob(os.path.join(CACHE, '**/fr_feature.onnx'), recursive=True)
        if not found or 'no ONNX import' in run('doctor').out:
            self.skipTest('no ONNX file, or built without import')
        with open(found[0], 'rb') as f:
            data = f.read()
        for n in (100, len(data) // 2, len(data) - 7):
            put('cut.onnx', data[:n])
            self.code(2, run('model', 'import', 'cut.onnx', '-o', 'never.dmv'))
            self.assertFalse(glob.glob(os.path.join(TMP, 'never*')))
        p = self.code(0, run('model', 'import', found[0], '-o', 'mine.dmv', '--name', 'My net',
                             '--thresholds', '1e-2:0.25,1e-3:0.5'))
        self.assertIn('My net', p.out)
        p = self.code(0, run('verify', self.photo, self.photo, '-j', '--model', 'mine.dmv'))
        self.assertEqual((lines(p)[0]['threshold'], lines(p)[0]['fmr']), (0.5, 0.001))
        p = run('verify', self.photo, self.photo, '-j', '--model', 'mine.dmv', '--fmr', '0.01')
        self.assertEqual(lines(p)[0]['threshold'], 0.25)
        self.error('--fmr', 'verify', self.photo, self.photo, '--model', 'mine.dmv', '--fmr', '1e-6')
        self.error('--thresholds', 'model', 'import', found[0], '-o', 'never.dmv', '--thresholds',
                   '1e-3:0.5,1e-2:0.6')
        self.error('did you mean', 'model', 'import', found[0], '-o', 'never.dmv', '--kind',
                   'embeder')
        self.assertFalse(glob.glob(os.path.join(TMP, 'never*')))

    def test_export(self):
        if 'no ONNX import' in run('doctor').out:
            self.skipTest('built without import')
        net = os.path.join(MODELS, 'embed.dmv')
        self.code(0, run('model', 'quantize', net, '--random', '-o', 'q.dmv', '--quiet'))
        for source, quantised in ((net, 0), ('q.dmv', 10)):
            p = self.code(0, run('model', 'export', source, '-o', 'out.onnx', '--json'))
            (d,) = lines(p)
            self.assertEqual(d['opset'], 13)
            self.assertGreaterEqual(d['quantised'], quantised)
            self.assertEqual(d['bytes'], os.path.getsize(os.path.join(TMP, 'out.onnx')))
            self.code(0, run('model', 'import', 'out.onnx', '-o', 'again.dmv'))
            a, b = (lines(run('model', 'info', n, '--json'))[0] for n in (source, 'again.dmv'))
            self.assertEqual(a['nodes'], b['nodes'])
            for key in ('kind', 'color', 'mean', 'scale', 'dim', 'thresholds', 'name'):
                self.assertEqual(a['metadata'].get(key), b['metadata'].get(key), key)
            p, q = (lines(run('embed', self.photo, '--best', '-j', '--model', n))
                    for n in (source, 'again.dmv'))
            for x, y in zip(p[0]['faces'][0]['embedding'], q[0]['faces'][0]['embedding']):
                self.assertAlmostEqual(x, y, 5)
        self.assertIn('pairs of QuantizeLinear', run('model', 'export', 'q.dmv', '-o', 'o.onnx').out)
        self.error('the form is', 'model', 'export', net)
        self.error('nowhere.dmv', 'model', 'export', 'nowhere.dmv', '-o', 'never.onnx')
        self.code(2, run('model', 'export', 'out.onnx', '-o', 'never.onnx'))
        self.error('no/such', 'model', 'export', net, '-o', 'no/such/never.onnx')
        self.assertFalse(glob.glob(os.path.join(TMP, 'never*')))

    def test_compress(self):
        if without_video() or 'FFmpeg\'s libraries are there' not in run('doctor').out:
            self.skipTest('no video in this build, or no FFmpeg on this machine')
        d = os.path.join(TMP, 'cpairs')
        os.makedirs(d, exist_ok=True)
        for i, photo in enumerate(PHOTOS[:2]):
            self.code(0, run('align', photo, '--best', '-o', os.path.join(d, f'{i}.png')))
        rows = ''
        for i in range(10):
            for copy in ('a', 'b'):
                shutil.copy(os.path.join(d, '0.png'), os.path.join(d, f'{copy}{i}.png'))
            shutil.copy(os.path.join(d, '1.png'), os.path.join(d, f'c{i}.png'))
            rows += f'a{i}.png\tb{i}.png\t1\na{i}.png\tc{i}.png\t0\n'
        put('c.txt', rows.encode())
        some = ['eval', 'compress', '--images', d, '--pairs', 'c.txt', '--aligned', '--no-cache']
        p = self.code(0, run(*some, '--levels', 'fair=20,awful=51', '--far', '1e-1', '--report', 'c.md',
                             '--json'))
        (r,) = lines(p)
        self.assertEqual([x['name'] for x in r['levels']], ['none', 'fair', 'awful'])
        self.assertGreater(r['levels'][1]['bytes_per_picture'], 2 * r['levels'][2]['bytes_per_picture'])
        (net,) = r['nets']
        self.assertGreater(net['ms'], 0)
        self.assertEqual(net['levels'][0]['accuracy'], 1)
        self.assertEqual(net['levels'][0]['tar'][0]['far'], 0.1)
        with open(os.path.join(TMP, 'c.md')) as f:
            self.assertIn('awful (CRF 51', f.read())
        self.error('NAME=CRF', *some, '--levels', 'a=99')
        self.error('are needed', 'eval', 'compress', '--pairs', 'c.txt')

    def test_quantize(self):
        if 'no ONNX import' in run('doctor').out:
            self.skipTest('built without import')
        net = os.path.join(MODELS, 'embed.dmv')
        folder = os.path.join(TMP, 'calibration')
        os.makedirs(folder, exist_ok=True)
        for i, photo in enumerate(PHOTOS[:3]):
            shutil.copy(photo, os.path.join(folder, f'{i}.jpg'))
        p = self.code(0, run('model', 'quantize', net, '--data', folder, '-o', 'small.dmv', '--json'))
        (d,) = lines(p)
        self.assertIn('rough', p.err)
        self.assertGreater(d['mean_cosine'], 0.97)
        self.assertLess(d['bytes'], d['bytes_before'] / 3)
        self.assertTrue(d['layers'] and d['samples'] == len(PHOTOS[:3]))
        for layer in d['layers']:
            self.assertGreater(layer['cosine'], 0.9)
        (info,) = lines(self.code(0, run('model', 'info', 'small.dmv', '--json')))
        self.assertIn('mse', info['metadata']['quantised'])
        p = self.code(0, run('verify', self.photo, self.photo, '-j', '--model', 'small.dmv',
                             '--threshold', '0.5'))
        self.assertGreater(lines(p)[0]['score'], 0.999)
        # the same bits whatever the processor offers
        p = self.code(0, run('embed', self.photo, '--best', '-j', '--model', 'small.dmv'))
        q = self.code(0, run('embed', self.photo, '--best', '-j', '--model', 'small.dmv', '--cpu',
                             'avx2'))
        a, b = (lines(x)[0]['faces'][0]['embedding'] for x in (p, q))
        self.assertGreater(sum(x * y for x, y in zip(a, b)), 0.9999)
        d = os.path.join(TMP, 'qpairs')
        os.makedirs(d, exist_ok=True)
        for i, photo in enumerate(PHOTOS[:2]):
            self.code(0, run('align', photo, '--best', '-o', os.path.join(d, f'{i}.png')))
        rows = ''
        for i in range(10):
            for copy in ('a', 'b'):
                shutil.copy(os.path.join(d, '0.png'), os.path.join(d, f'{copy}{i}.png'))
            rows += f'a{i}.png\tb{i}.png\t1\na{i}.png\t1.png\t0\n'
        put('q.txt', rows.encode())
        p = self.code(0, run('model', 'quantize', net, '--data', folder, '-o', 'small2.dmv', '--json',
                             '--pairs', 'q.txt', '--images', d, '--aligned', '--plot', 'noise.svg'))
        (d,) = lines(p)
        self.assertEqual((d['before']['accuracy'], d['after']['accuracy']), (1, 1))
        with open(os.path.join(TMP, 'noise.svg')) as f:
            self.assertEqual(f.read().count('<rect'), 1 + len(d['layers']))
        self.error('go together', 'model', 'quantize', net, '--random', '-o', 'never.dmv', '--pairs',
                   'q.txt')
        self.error('8-bit already', 'model', 'quantize', 'small.dmv', '--random', '-o', 'never.dmv')
        self.code(0, run('model', 'quantize', net, '--random', '-o', 'random.dmv', '--quiet'))
        d = json.loads(run('bench', '--model', 'random.dmv', '--runs', '3', '--json').out)
        self.assertGreater(d['median_ms'], 0)
        empty = os.path.join(TMP, 'empty')
        os.makedirs(empty, exist_ok=True)
        self.code(2, run('model', 'quantize', net, '--data', empty, '-o', 'never.dmv'))
        put('empty/gray.pgm', b'P5 200 200 255 ' + b'\x80' * 40000)
        self.error('no usable picture', 'model', 'quantize', net, '--data', empty, '-o', 'never.dmv')
        self.error('minmax', 'model', 'quantize', net, '--random', '-o', 'never.dmv', '--method', 'x')
        self.error('the form is', 'model', 'quantize', net, '-o', 'never.dmv')
        self.error('--fp16 has no options', 'model', 'quantize', net, '--fp16', '--dynamic', '-o',
                   'never.dmv')
        (d,) = lines(self.code(0, run('model', 'quantize', net, '--fp16', '-o', 'half.dmv', '--json')))
        self.assertLess(d['bytes'], d['bytes_before'] * 0.6)
        self.assertGreater(d['half_layers'], 20)
        self.assertNotIn('mean_cosine', d)
        (d,) = lines(self.code(0, run('model', 'quantize', net, '--fp16', '-o', 'half2.dmv', '--data',
                                      folder, '--json')))
        self.assertGreater(d['mean_cosine'], 0.9999)
        p = self.code(0, run('embed', self.photo, '--best', '-j', '--model', net))
        q = self.code(0, run('embed', self.photo, '--best', '-j', '--model', 'half.dmv'))
        a, b = (lines(x)[0]['faces'][0]['embedding'] for x in (p, q))
        self.assertGreater(sum(x * y for x, y in zip(a, b)), 0.9995)
        (info,) = lines(self.code(0, run('model', 'info', 'half.dmv', '--json')))
        self.assertEqual(info['metadata']['quantised'], 'half precision')
        self.error('half precision', 'model', 'quantize', 'half.dmv', '--random', '-o', 'never.dmv')
        self.assertFalse(glob.glob(os.path.join(TMP, 'never*')))

    def test_bench(self):
        p = self.code(0, run('bench', '--model', os.path.join(MODELS, 'embed.dmv'), '--runs', '5',
                             '--layers'))
        d = json.loads(p.out.splitlines()[-1])
        for key in ('median_ms', 'min_ms', 'mean_ms', 'p95_ms', 'gmac_per_s', 'peak_share',
                    'threads', 'cpu'):
            self.assertIn(key, d)
        self.assertTrue(0 < d['min_ms'] <= d['median_ms'] <= d['p95_ms'])
        self.assertTrue(0 < d['peak_share'] and d['threads'] == 1 and d['runs'] == 5)
        p = self.code(0, run('bench', '--model', os.path.join(MODELS, 'detect.dmv'), '--runs', '3',
                             '--cpu', 'c', '--json', '-t', '2'))
        (d,) = lines(p)
        self.assertEqual((d['threads'], d['cpu']), (2, 'c'))

        # The word changes nothing, and a net may stand alone.
        net = os.path.join(MODELS, 'embed.dmv')
        forms = [lines(self.code(0, run('bench', *args, '--runs', '2', '--json')))[0]
                 for args in (['--model', net], ['model', '--model', net], ['model', net], [net])]
        for d in forms:
            self.assertEqual(list(d), list(forms[0]))
            self.assertEqual((d['model'], d['id'], d['runs']), (net, forms[0]['id'], 2))

    STAGES = ['decode', 'detect', 'landmarks', 'quality', 'align', 'embed', 'search']

    def pipeline(self, *args, code=0):
        (d,) = lines(self.code(code, run('bench', 'pipeline', '--json', *args)))
        self.assertEqual(list(d['stages']), self.STAGES)
        for t in [t for t in d['stages'].values() if t] + [d['total']]:
            self.assertTrue(0 < t['min_ms'] <= t['median_ms'] <= t['p95_ms'], d)
        return d

    def test_motion_probe(self):
        args = ['motion', 'probe', '--size', '320x256', '--pairs', '6', '-t', '1']
        (d,) = lines(self.code(0, run(*args, '--json')))
        names = [r['layer'] for r in d['layers']]
        self.assertIn(d['suggested'], names)
        self.assertGreater(len(names), 5)
        self.assertEqual(len(set(names)), len(names))
        best = max(r['auc'] or 0 for r in d['layers'])
        self.assertGreater(best, 0.9)
        shares = [r['macs_share'] for r in d['layers']]
        self.assertEqual(shares, sorted(shares))
        self.assertTrue(0 < shares[0] and shares[-1] <= 1)
        for r in d['layers']:
            self.assertGreater(r['gate_ms'], 0)
            if r['auc'] is not None:
                self.assertTrue(0 <= r['still'] <= 1 and 0 <= r['moving'] <= 1, r)
            self.assertTrue(0 < r['ms'] <= d['ms'] * 1.0001, r)
            if r['layer'] == d['suggested']:
                self.assertGreaterEqual(r['auc'], best - 0.01)
                self.assertGreater(r['moving'], r['still'])
        # the same scenes from the same seed, others from another
        separation = [(r['still'], r['moving'], r['auc']) for r in d['layers']]
        again, = lines(self.code(0, run(*args, '--json')))
        other, = lines(self.code(0, run(*args, '--json', '--seed', '2')))
        self.assertEqual(separation, [(r['still'], r['moving'], r['auc']) for r in again['layers']])
        self.assertNotEqual(separation,
                            [(r['still'], r['moving'], r['auc']) for r in other['layers']])
        p = self.code(0, run(*args))
        self.assertIn(names[0], p.out)
        self.assertIn('Suggested: ', p.out)
        self.assertIn(run(*args, '--quiet').out.strip(), names)
        marked = os.path.join(TMP, 'marked.dmv')
        name = self.code(0, run(*args, '--quiet', '-o', marked)).out.strip()
        (info,) = lines(self.code(0, run('model', 'info', marked, '--json')))
        self.assertEqual(info['metadata']['motion_layer'], name)
        self.assertEqual(info['metadata']['kind'], 'detector')
        self.error('nowhere', *args, '-o', 'nowhere/x.dmv')
        # frames in a folder: a grey square walks over noise
        frames = os.path.join(TMP, 'frames')
        os.makedirs(frames, exist_ok=True)
        for i in range(5):
            rows = [bytearray(random.Random(y).randbytes(3 * 160)) for y in range(128)]
            for y in range(30, 90):
                rows[y][3 * (10 + 24 * i):3 * (50 + 24 * i)] = bytes([90 + y] * 120)
            with open(os.path.join(frames, f'{i}.ppm'), 'wb') as f:
                f.write(b'P6 160 128 255\n' + b''.join(rows))
        (d,) = lines(self.code(0, run(*args, '--json', '--pictures', frames)))
        self.assertGreater(max(r['auc'] or 0 for r in d['layers']), 0.9)
        still = os.path.join(TMP, 'still')
        os.makedirs(still, exist_ok=True)
        for i in range(3):
            shutil.copy(os.path.join(frames, '0.ppm'), os.path.join(still, f'{i}.ppm'))
        self.error('fixed camera', *args, '--pictures', still)
        self.error('nowhere', *args, '--pictures', 'nowhere')
        os.remove(os.path.join(still, '1.ppm'))
        os.remove(os.path.join(still, '2.ppm'))
        self.error('two frames', *args, '--pictures', still)

    def test_bench_pipeline(self):
        n = len(lines(run('detect', self.photo, '-j'))[0]['faces'])
        d = self.pipeline(self.photo, '--runs', '4')
        (p,) = d['pictures']
        self.assertEqual((p['image'], p['faces'], d['runs'], d['threads']), (self.photo, n, 4, 1))
        self.assertEqual((d['gallery'], d['vectors']), (None, 10000))
        for name, t in d['stages'].items():
            if t:
                self.assertEqual(t['per'], 'picture' if name in ('decode', 'detect') else 'face')
        # The mean of a total is the sum of the means of its stages.
        whole = sum(t['mean_ms'] * (n if t['per'] == 'face' else 1)
                    for t in d['stages'].values() if t)
        self.assertAlmostEqual(d['total']['mean_ms'] / whole, 1, places=3)
        self.assertEqual(p['median_ms'], d['total']['median_ms'])
        if os.path.exists('/proc/self/status'):
            self.assertGreater(d['peak_memory_bytes'], 10000 * 4 * d['dim'])
        p = self.code(0, run('bench', 'pipeline', self.photo, PHOTOS[1], '--runs', '2'))
        rows = p.out.splitlines()
        self.assertTrue(rows[0].startswith('2 pictures, '), p.out)
        self.assertEqual([r.split()[0] for r in rows[1:10]], ['stage', *self.STAGES, 'total'])
        self.assertEqual([x['image'] for x in json.loads(rows[-1])['pictures']],
                         [self.photo, PHOTOS[1]])

    def test_bench_pipeline_bad_pictures(self):
        text, black = put('text.jpg', b'no picture\n'), put('black.ppm', b'P6 64 48 255 ' +
                                                            bytes(64 * 48 * 3))
        d = self.pipeline(text, self.photo, '--runs', '1', code=2)
        self.assertEqual([p['image'] for p in d['pictures']], [self.photo])
        self.assertEqual(self.error('text.jpg', 'bench', 'pipeline', text).out, '')
        d = self.pipeline(black, '--runs', '3')
        self.assertIn('no face', run('bench', 'pipeline', black, '--runs', '1').err)
        self.assertEqual([k for k, t in d['stages'].items() if t], ['decode', 'detect'])
        self.assertEqual(d['pictures'][0]['faces'], 0)

    @unittest.skipIf(PART == 'faces' and without_galleries(), 'built without galleries')
    def test_bench_pipeline_gallery(self):
        """The stages find what `identify` finds, with points from the detector and without."""
        net = os.path.join(MODELS, 'landmarks.dmv')
        for extra in [[], ['--mirror', '--scales', '2']] + \
                ([['--landmarks', net]] if os.path.exists(net) else []):
            db = ['--gallery', f'bench{len(extra)}.db', *extra]
            for i in range(2):
                self.code(0, run('enrol', *db, '--largest', '--name', 'AB'[i], PHOTOS[i]))
            (want,) = lines(self.code(0, run('identify', *db, '--threshold=-1', '-j', PHOTOS[1])))
            d = self.pipeline(*db, PHOTOS[1], '--runs', '1')
            self.assertEqual((d['gallery'], d['vectors']), (db[1], 2))
            if '--landmarks' in extra:
                self.assertEqual(d['stages']['landmarks']['per'], 'face')
            near = d['pictures'][0]['nearest']
            self.assertEqual([x['name'] for x in near],
                             [f['subjects'][0]['name'] for f in want['faces']])
            for x, f in zip(near, want['faces']):
                self.assertAlmostEqual(x['score'], f['subjects'][0]['score'], places=4)
            self.assertGreater(max(x['score'] for x in near), 0.999)
        self.error('nowhere.db', 'bench', 'pipeline', self.photo, '--gallery', 'nowhere.db')
        self.code(0, run('gallery', 'remove', 'A', 'B', '--gallery', 'bench0.db'))
        self.error('nobody', 'bench', 'pipeline', self.photo, '--gallery', 'bench0.db')

    def test_eval(self):
        # Ten folds of two: a crop with itself under another name, and with another person's.
        d = os.path.join(TMP, 'eval')
        os.makedirs(d, exist_ok=True)
        self.code(0, run('align', PHOTOS[0], '-o', d + '/'))
        self.code(0, run('align', PHOTOS[1], '-o', d + '/'))
        crops = sorted(os.listdir(d))
        rows = []
        for i in range(10):
            for name in ('a', 'b'):
                shutil.copy(os.path.join(d, crops[0]), os.path.join(d, f'{name}{i}.png'))
            rows.append(f'a{i}.png\tb{i}.png\t1')
            rows.append(f'a{i}.png\t{crops[-1]}\t0')
        put('p.txt', '\n'.join(rows).encode() + b'\n')
        args = ['eval', 'verify', '--images', d, '--pairs', 'p.txt']
        p = self.code(0, run(*args, '--aligned', '--dump', 'd.tsv', '-t', '3'))
        r = json.loads(p.out.splitlines()[-1])
        self.assertEqual((r['accuracy'], r['std'], r['pairs'], r['missing_faces']), (1, 0, 20, 0))
        self.assertEqual(r['tar'], {'0.01': 1, '0.001': 1})
        with open(os.path.join(TMP, 'd.tsv')) as f:
            dump = [row.rstrip('\n').split('\t') for row in f]
        self.assertEqual(len(dump), 20)
        self.assertTrue(all(float(x[3]) < 1e-9 for x in dump if x[2] == '1'))
        # A picture without a face is distance 4 in its pairs, and counted.
        put('eval/a0.png', b'P6 112 112 255 ' + bytes(112 * 112 * 3))
        r = json.loads(self.code(0, run(*args, '--min-score', '0.2', '--dump', 'd2.tsv', '--json'))
                       .out.splitlines()[-1])
        with open(os.path.join(TMP, 'd2.tsv')) as f:
            dump = [row.rstrip('\n').split('\t') for row in f]
        self.assertEqual([float(x[3]) for x in dump if 'a0.png' in x[:2]], [4, 4])
        self.assertGreaterEqual(r['missing_faces'], 1)
        self.assertLess(r['accuracy'], 1)
        os.unlink(os.path.join(d, 'b3.png'))
        p = self.error('b3.png', *args, '--aligned')
        self.assertIn('1 of 21 pictures are missing', p.err)


def find_material():
    """Default nets into MODELS, photos into PHOTOS; a sentence on what is missing."""
    os.makedirs(MODELS)
    for which, onnx in (('detect', 'detect/yunet_n_dynamic.onnx'),
                        ('landmarks', None), ('embed', 'embed/mobilefacenet.onnx')):
        to = os.path.join(MODELS, which + '.dmv')
        built = os.path.join(BUILD, 'models', which + '.dmv')
        if onnx and os.path.exists(os.path.join(SHARED, 'models', onnx)) and \
                run('model', 'import', os.path.join(SHARED, 'models', onnx), '-o',
                    to).returncode == 0:
            continue
        if os.path.exists(built):
            shutil.copy(built, to)
        elif onnx:
            return f'no {which} net'
    for pattern in (CACHE + '/photos/sample*.jpg', SHARED + '/faces/celeb_val_raw/*/*.jpg'):
        for path in sorted(glob.glob(pattern, recursive=True)):
            found = lines(run('detect', path, '-j'))
            if found and found[0]['faces']:
                PHOTOS.append(path)
            # Of CelebA the first pictures are of one person: take two people.
            if len(PHOTOS) > 1 and os.path.dirname(PHOTOS[0]) == os.path.dirname(path) and \
                    'sample' not in path:
                PHOTOS.pop()
            if len(PHOTOS) == 2:
                return ''
    return 'no photos'


if __name__ == '__main__':
    try:
        if PART == 'faces':
            missing = find_material()
            if missing:
                print('skipped:', missing)
                sys.exit(77)
        case = Faces if PART == 'faces' else Forms
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        ok = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite).wasSuccessful()
        sys.exit(0 if ok else 1)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
