# SPDX-License-Identifier: Apache-2.0
"""The Python module on the built library.

    test_domovoi.py api|faces [PROGRAM]

api needs the library alone ($DOMOVOI_LIBRARY). faces needs nets, a photo and the domovoi
program, whose answers must be those of the module; it exits 77 where one of them is missing.
"""
import array
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
MODULE = os.path.join(os.environ['DOMOVOI_SOURCE'], 'bindings', 'python')
sys.path.insert(0, MODULE)
import domovoi  # noqa: E402

PART = sys.argv[1]
PROGRAM = sys.argv[2] if len(sys.argv) > 2 else ''
MODELS = os.path.join(os.environ.get('DOMOVOI_BUILD', ''), 'models')
PHOTO = os.path.join(os.environ.get('DOMOVOI_CACHE', ''), 'photos', 'sample1.jpg')
POINTS = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))


def pattern(width, height, channels):
    return bytes((x * 7 + y * 3 + c * 50 + x * y // 9) % 256
                 for y in range(height) for x in range(width) for c in range(channels))


class Api(unittest.TestCase):
    def setUp(self):
        self.context = domovoi.Context(threads=2)

    def error(self, status, words, function, *args, **kw):
        with self.assertRaises(domovoi.Error) as caught:
            function(*args, **kw)
        self.assertEqual(caught.exception.status, status)
        self.assertIn(words, str(caught.exception))

    def test_context(self):
        self.assertRegex(domovoi.version(), r'^0\.1\.\d+$')
        self.assertEqual(self.context.threads, 2)
        with domovoi.Context(threads=1, cpu='c') as plain:
            self.assertEqual(plain.threads, 1)
            self.assertNotIn('avx', plain.cpu)
            self.assertNotIn('neon', plain.cpu)
        self.assertRaises(ValueError, lambda: plain.threads)
        self.error('argument', '', domovoi.Context, threads=65)
        self.assertRaises(TypeError, domovoi.Context, threads='two')

    def test_library_is_found(self):
        def load(**env):
            return subprocess.run([sys.executable, '-B', '-c', 'import domovoi'],
                                  env=dict(os.environ, PYTHONPATH=MODULE, **env),
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(load().returncode, 0)
        p = load(DOMOVOI_LIBRARY='/nowhere/libdomovoi.so')
        self.assertEqual(p.returncode, 1)
        self.assertIn('ImportError: $DOMOVOI_LIBRARY: /nowhere/libdomovoi.so', p.stderr)
        p = load(DOMOVOI_LIBRARY='libc.so.6')
        self.assertIn('not a Domovoi library', p.stderr)

    def test_bad_models(self):
        self.error('io', '/nowhere/x.dmv', domovoi.Model, self.context, '/nowhere/x.dmv')
        with tempfile.NamedTemporaryFile(suffix='.dmv') as f:
            f.write(b'not a net' * 100)
            f.flush()
            self.error('format', f.name, domovoi.Model, self.context, f.name)
        self.assertRaises(ValueError, domovoi.Model, self.context, 'a\0b')
        self.assertRaises(TypeError, domovoi.Model, None, 'a')
        self.assertRaises(TypeError, domovoi.Pipeline, self.context, detector='detect.dmv')
        self.assertRaises(TypeError, domovoi.Pipeline, self.context, colour=1)
        self.error('argument', '', domovoi.Pipeline, self.context)

    def test_similarity(self):
        self.assertAlmostEqual(domovoi.similarity([3, 0], [1, 1]), math.sqrt(0.5), places=6)
        self.assertEqual(domovoi.similarity([0, 0], [1, 1]), 0)
        self.assertAlmostEqual(domovoi.similarity(array.array('f', [1, 2]), (-2, -4)), -1, 6)
        self.assertRaises(ValueError, domovoi.similarity, [1, 2], [1, 2, 3])

    def test_index(self):
        index = domovoi.Index(self.context, 3)
        self.assertEqual(index.search([1, 0, 0], 4), [])
        big = (1 << 64) - 1
        index.add(big, [2, 0, 0])
        index.add(5, array.array('f', [0, 1, 0]))
        index.add(5, (1, 1, 0))
        self.assertEqual(len(index), 3)
        found = index.search([1, 0, 0], 10)
        self.assertEqual([m.id for m in found], [big, 5])
        self.assertAlmostEqual(found[0].score, 1, places=6)
        self.assertAlmostEqual(found[1].score, math.sqrt(0.5), places=6)
        self.assertEqual(index.remove(5), 2)
        self.assertEqual([m.id for m in index.search([0, 1, 0], 2)], [big])
        self.error('not found', '', index.remove, 5)
        self.assertRaises(ValueError, index.add, 1, [1, 2])
        self.assertRaises(ValueError, index.add, -1, [1, 2, 3])
        self.assertRaises(ValueError, index.search, [1, 2, 3], 0)
        self.error('argument', '', index.add, 1, [float('nan'), 0, 0])

    def test_pixels(self):
        rgb = pattern(160, 140, 3)
        want = domovoi.align(domovoi.Image(rgb, 160, 140), POINTS)
        self.assertEqual(len(want), 112 * 112 * 3)
        self.assertGreater(len(set(want)), 50)
        gap = b''.join(rgb[y * 480:y * 480 + 480] + b'\xff' * 20 for y in range(140))
        bgr = bytearray(rgb)
        bgr[0::3], bgr[2::3] = rgb[2::3], rgb[0::3]
        rgba = bytearray(160 * 140 * 4)
        rgba[0::4], rgba[1::4], rgba[2::4] = rgb[0::3], rgb[1::3], rgb[2::3]
        shaped = memoryview(rgb).cast('B', (140, 160, 3))
        for image in (domovoi.Image(bytearray(rgb), 160, 140),
                      domovoi.Image(memoryview(rgb), 160, 140, 'rgb'),
                      domovoi.Image(array.array('B', rgb), 160, 140),
                      domovoi.Image(gap, 160, 140, stride=500),
                      domovoi.Image(bgr, 160, 140, 'bgr'),
                      domovoi.Image(rgba, 160, 140, 'rgba'), shaped,
                      memoryview(rgba).cast('B', (140, 160, 4))):
            self.assertEqual(domovoi.align(image, POINTS), want)
        gray = domovoi.align(domovoi.Image(rgb[0::3], 160, 140, 'gray'), POINTS)
        self.assertEqual(gray[0::3], want[0::3])
        self.assertEqual(gray[1::3], want[0::3])
        bad = [(rgb, 160, 141), (rgb, 0, 140), (rgb, 160, 140, 'yuv'), (rgb,), (rgb, 40000, 1),
               (rgb, 160, 140, 'rgb', 479), (gap, 160, 140, 'rgb', 501)]
        for arguments in bad:
            self.assertRaises(ValueError, domovoi.Image, *arguments)
        self.assertRaises(TypeError, domovoi.Image, array.array('f', [0] * 30000), 100, 100)
        self.assertRaises(TypeError, domovoi.Image, 'text', 1, 1)
        self.assertRaises(ValueError, domovoi.align, shaped, POINTS[:4])
        self.error('argument', '', domovoi.align, shaped, [(5, 5)] * 5)

    def test_numpy(self):
        try:
            import numpy
        except ImportError:
            self.skipTest('NumPy is not installed')
        rgb = pattern(160, 140, 3)
        want = domovoi.align(domovoi.Image(rgb, 160, 140), POINTS)
        pixels = numpy.frombuffer(rgb, numpy.uint8).reshape(140, 160, 3)
        wide = numpy.zeros((140, 200, 3), numpy.uint8)
        wide[:, 20:180] = pixels
        for image in (pixels, pixels.copy(), numpy.asfortranarray(pixels), wide[:, 20:180],
                      domovoi.Image(pixels[:, :, ::-1], format='bgr')):
            self.assertEqual(domovoi.align(image, POINTS), want)
        self.assertRaises(TypeError, domovoi.align, pixels.astype('float32'), POINTS)

    def test_quality(self):
        image = domovoi.Image(pattern(160, 140, 3), 160, 140)
        q = domovoi.quality(image, domovoi.Face((20, 20, 100, 100), 1, POINTS))
        self.assertAlmostEqual(q.size, 35.2 / 48, places=3)
        product = q.size * q.pose * q.sharpness * q.exposure
        self.assertAlmostEqual(q.total, product ** 0.25, places=3)

    def test_closing(self):
        index = domovoi.Index(self.context, 2)
        index.add(1, [1, 0])
        self.context.close()
        self.context.close()
        self.assertRaises(ValueError, domovoi.Index, self.context, 2)
        self.assertEqual(index.search([1, 0])[0].id, 1)  # opened before: it holds what it needs
        index.close()
        self.assertRaises(ValueError, index.search, [1, 0])
        self.assertRaises(ValueError, len, index)
        for _ in range(50):  # dropped in whatever order the collector likes
            ring = [domovoi.Context(threads=1)]
            ring += [domovoi.Index(ring[0], 8), ring]
            del ring
        gc.collect()

    def test_threads(self):
        index = domovoi.Index(self.context, 16)
        for i in range(200):
            index.add(i, [math.sin(i * 3.7 + j * j) for j in range(16)])
        wrong = []

        def look(start):
            for i in range(start, 200, 4):
                best = index.search([math.sin(i * 3.7 + j * j) for j in range(16)])[0]
                if best.id != i:
                    wrong.append(i)
        workers = [threading.Thread(target=look, args=(k,)) for k in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        self.assertEqual(wrong, [])


def read_ppm(path):
    with open(path, 'rb') as f:
        data = f.read()
    magic, width, height, depth = data.split(None, 4)[:4]
    assert magic == b'P6' and depth == b'255', data[:20]
    width, height = int(width), int(height)
    return domovoi.Image(data[-width * height * 3:], width, height), data[-width * height * 3:]


def doubled_row(pixels, y):
    """Row y of the crop, twice as wide."""
    row = pixels[y * 336:y * 336 + 336]
    return b''.join(row[x:x + 3] * 2 for x in range(0, 336, 3))


class Faces(unittest.TestCase):
    """The program and the module on the same pixels: no JPEG reader is needed here."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='domovoi-python-')
        cls.run_program('align', PHOTO, '-o', cls.path('face.ppm'))
        cls.crop, cls.pixels = read_ppm(cls.path('face.ppm'))
        # The face twice as large in the middle of a grey picture.
        rows = []
        for y in range(112):
            row = doubled_row(cls.pixels, y)
            rows += [b'\x80' * 168 + row + b'\x80' * 168] * 2
        blank = [b'\x80' * (336 + 672)] * 60
        cls.canvas_pixels = b''.join(blank + rows + blank)
        with open(cls.path('canvas.ppm'), 'wb') as f:
            f.write(b'P6\n336 344\n255\n' + cls.canvas_pixels)
        cls.canvas = domovoi.Image(cls.canvas_pixels, 336, 344)
        cls.context = domovoi.Context()
        cls.embedder = domovoi.Model(cls.context, os.path.join(MODELS, 'embed.dmv'))
        cls.pipeline = domovoi.Pipeline(
            cls.context, detector=domovoi.Model(cls.context, os.path.join(MODELS, 'detect.dmv')),
            landmarks=domovoi.Model(cls.context, os.path.join(MODELS, 'landmarks.dmv')),
            embedder=cls.embedder)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    @staticmethod
    def run_program(*args):
        p = subprocess.run([PROGRAM, *args], env=dict(os.environ, DOMOVOI_MODELS=MODELS),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert p.returncode == 0, f'{args}: {p.stderr}'
        return p.stdout

    def close_to(self, got, want, within):
        self.assertEqual(len(got), len(want))
        for a, b in zip(got, want):
            self.assertLessEqual(abs(a - b), within)

    def test_models(self):
        self.assertEqual(self.embedder.kind, 'embedder')
        self.assertRegex(self.embedder.id, r'^[0-9a-f]{32}$')
        self.assertEqual(self.embedder.dim, self.pipeline.dim)
        self.assertEqual(self.embedder.text('kind'), 'embedder')
        self.assertIsNone(self.embedder.text('no such key'))
        with self.assertRaises(domovoi.Error) as caught:
            self.embedder.threshold(1e-300)
        self.assertEqual(caught.exception.status, 'not found')

    def test_detect(self):
        faces = self.pipeline.detect(self.canvas)
        want = json.loads(self.run_program('detect', '-j', self.path('canvas.ppm')))['faces']
        self.assertEqual(len(faces), len(want))
        self.assertGreaterEqual(len(faces), 1)
        for face, w in zip(faces, want):
            self.close_to(face.box, w['box'], 0.011)
            self.assertAlmostEqual(face.score, w['score'], delta=1e-4)
            for got, point in zip(face.landmarks, w['landmarks']):
                self.close_to(got, point, 0.011)
        self.assertGreater(faces[0].quality, 0)
        x, y, w, h = faces[0].box
        self.assertTrue(56 < x + w / 2 < 280 and 60 < y + h / 2 < 284, faces[0])
        self.assertEqual(self.pipeline.detect(domovoi.Image(bytes(90000), 200, 150)), [])
        self.assertRaises(ValueError, self.pipeline.detect, self.canvas, limit=0)

    def test_align(self):
        face = self.pipeline.detect(self.canvas)[0]
        self.run_program('align', '--best', self.path('canvas.ppm'), '-o', self.path('up.ppm'))
        self.assertEqual(domovoi.align(self.canvas, face.landmarks),
                         read_ppm(self.path('up.ppm'))[1])

    def test_embed(self):
        v = self.pipeline.embed_aligned(self.crop)
        self.assertAlmostEqual(sum(x * x for x in v), 1, places=4)
        out = json.loads(self.run_program('embed', '--aligned', '-j', self.path('face.ppm')))
        self.close_to(v, out['faces'][0]['embedding'], 1e-4)
        face = self.pipeline.detect(self.canvas)[0]
        same = self.pipeline.embed(self.canvas, face)
        out = json.loads(self.run_program('embed', '--best', '-j', self.path('canvas.ppm')))
        self.close_to(same, out['faces'][0]['embedding'], 1e-4)
        others = [n for n in os.listdir(self.folder.name) if n.startswith('face-')]
        index = domovoi.Index(self.context, self.pipeline.dim)
        index.add(0, v)
        for number, name in enumerate(others, 1):
            index.add(number, self.pipeline.embed_aligned(read_ppm(self.path(name))[0]))
        found = index.search(same, 9)
        self.assertEqual(len(found), 1 + len(others))
        self.assertEqual(found[0].id, 0)
        self.assertAlmostEqual(found[0].score, domovoi.similarity(same, v), places=5)

    def test_wrong_use(self):
        only = domovoi.Pipeline(self.context, embedder=self.embedder)
        with self.assertRaises(domovoi.Error) as caught:
            only.detect(self.canvas)
        self.assertEqual(caught.exception.status, 'argument')
        with self.assertRaises(domovoi.Error):
            only.embed(self.canvas, domovoi.Face((0, 0, 9, 9), 1))
        with self.assertRaises(domovoi.Error):
            only.embed_aligned(self.canvas)
        blind = domovoi.Pipeline(
            self.context, detector=domovoi.Model(self.context, os.path.join(MODELS, 'detect.dmv')))
        self.assertEqual(blind.dim, 0)
        self.assertRaises(ValueError, blind.embed_aligned, self.crop)

    def test_closing(self):
        context = domovoi.Context(threads=1)
        model = domovoi.Model(context, os.path.join(MODELS, 'embed.dmv'))
        pipeline = domovoi.Pipeline(context, embedder=model)
        before = pipeline.embed_aligned(self.crop)
        model.close()
        context.close()
        self.assertEqual(pipeline.embed_aligned(self.crop), before)
        self.assertRaises(ValueError, domovoi.Pipeline, self.context, embedder=model)
        pipeline.close()
        self.assertRaises(ValueError, pipeline.embed_aligned, self.crop)


if __name__ == '__main__':
    if PART == 'faces':
        needed = [os.path.join(MODELS, n + '.dmv') for n in ('detect', 'landmarks', 'embed')]
        for path in needed + [PHOTO, PROGRAM]:
            if not os.path.isfile(path):
                print(f'skipped: {path or "the domovoi program"} is not there')
                sys.exit(77)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Faces if PART == 'faces' else Api)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
