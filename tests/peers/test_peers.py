# SPDX-License-Identifier: Apache-2.0
"""test_peers.py nets|run|ort DOMOVOI [COMPARE] - the nets of bench/peers and its comparison.

nets  they have the multiply-adds that their papers state, and so says the program, which reads
      the files; the same name gives the same file; the files for ncnn fit together
run   table and chart of a record, bad use, and a measurement with what is here
ort   ONNX Runtime and our engine make the same of them, and it runs their 8-bit form in whole
      numbers; exit status 77 without ONNX Runtime
"""
import json
import math
import os
import re
import shutil
import random
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from array import array
from collections import Counter
from pathlib import Path

SOURCE = Path(os.environ['DOMOVOI_SOURCE'])
sys.path.insert(0, str(SOURCE / 'bench' / 'peers'))
import nets  # noqa: E402
import report  # noqa: E402

ORT = Path(os.environ['DOMOVOI_CACHE']) / 'ort'
ORT_JS = SOURCE / 'tests' / 'ort' / 'ort.cjs'
SMALL = ['mobilefacenet', 'mobilefacenet-relu', 'mobiface', 'mobiface-x3', 'ir18', 'ir18-relu']


def run(*command, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f'{command[0]}: status {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout


def small_nets():
    """IR-ResNet has one unit a stage here and a short vector."""
    made = [nets.build(n) for n in SMALL if not n.startswith('ir')]
    for name, how in (('ir', {}), ('ir-relu', {'act': 'relu', 'norm': False})):
        made.append(nets.Net(name))
        nets.ir_resnet(made[-1], (1, 1, 1, 1), length=16, **how)
    return made


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, **how):
        path = self.folder / f'{name}.onnx'
        nets.write_onnx(nets.build(name), path, **how)
        return path


class Nets(InFolder):
    def test_published(self):
        for name, (_, _, published, _) in nets.NETS.items():
            if published:
                with self.subTest(name):
                    self.assertAlmostEqual(nets.build(name).macs / 1e6 / published, 1, delta=0.01)
        self.assertAlmostEqual(nets.build('ir100').weights() / 1e6, 65.16, delta=0.05)
        self.assertAlmostEqual(nets.build('mobilefacenet').weights() / 1e6, 0.996, delta=0.005)
        ratio = nets.build('ir100').macs / nets.build('mobiface-x3').macs
        self.assertTrue(13 <= ratio <= 14, ratio)

    def test_program_reads_them(self):
        for name in SMALL:
            with self.subTest(name):
                onnx, dmv = self.write(name), self.folder / 'net.dmv'
                run(DOMOVOI, 'model', 'import', onnx, '-o', dmv, '--quiet')
                said = json.loads(run(DOMOVOI, 'bench', '--model', dmv, '--runs', 1, '--json'))
                net = nets.build(name)
                self.assertEqual(said['input'], [1, 3, 112, 112])
                # multiplications outside convolutions may be counted too
                self.assertAlmostEqual(said['mmac'] / (net.macs / 1e6), 1, delta=0.01)

    def test_repeats(self):
        tool = SOURCE / 'bench' / 'peers' / 'nets.py'
        run(sys.executable, tool, 'mobilefacenet', '-o', self.folder / 'a.onnx')
        self.assertEqual((self.folder / 'a.onnx').read_bytes(),
                         self.write('mobilefacenet').read_bytes())
        self.assertNotEqual((self.folder / 'a.onnx').read_bytes(),
                            self.write('mobiface').read_bytes())

    def test_list(self):
        said = run(sys.executable, SOURCE / 'bench' / 'peers' / 'nets.py', '--list')
        for name in nets.NETS:
            self.assertIn(f'\n{name} ', said)


class Ncnn(InFolder):
    """The files that are written for ncnn, read again as ncnn reads them."""
    def layers(self, param):
        magic, counts, *lines = param.read_text().splitlines()
        self.assertEqual(magic, '7767517')
        layers, there, unread = [], set(), set()
        for line in lines:
            kind, name, n_in, n_out, *rest = line.split()
            n_in, n_out = int(n_in), int(n_out)
            inputs, outputs = rest[:n_in], rest[n_in:n_in + n_out]
            self.assertTrue(set(inputs) <= unread, f'{line}: read twice, or not made before')
            unread = unread - set(inputs) | set(outputs)
            self.assertFalse(there & set(outputs), line)
            there |= set(outputs)
            numbers = (text.split('=') for text in rest[n_in + n_out:])
            layers.append((kind, {int(k): v for k, v in numbers}))
        self.assertEqual(counts, f'{len(lines)} {len(there)}')
        return layers, unread

    def bytes_of(self, kind, numbers):
        """What a layer reads from the .bin file."""
        n = {k: int(v) for k, v in numbers.items() if v.lstrip('-').isdigit()}
        if kind == 'PReLU':
            return 4 * n[0]
        if kind == 'BatchNorm':
            return 16 * n[0]
        if kind not in ('Convolution', 'ConvolutionDepthWise', 'InnerProduct'):
            return 0
        weights = n[2] if kind == 'InnerProduct' else n[6]
        if not n.get(8):
            return 4 + 4 * weights + 4 * n[0]
        return 4 + (weights + 3) // 4 * 4 + 4 * n[0] + 4 * n[0] + 4 + (4 if n[8] > 100 else 0)

    def test_fit_together(self):
        for net in small_nets():
            for int8 in (False, True):
                with self.subTest(net.name, int8=int8):
                    nets.write_ncnn(net, self.folder / 'net', int8)
                    layers, unread = self.layers(self.folder / 'net.param')
                    self.assertEqual(unread, {net.output()})
                    self.assertEqual((self.folder / 'net.bin').stat().st_size,
                                     sum(self.bytes_of(*layer) for layer in layers))
                    kinds = Counter(kind for kind, _ in layers)
                    ops = Counter(n.op for n in net.nodes)
                    self.assertEqual(kinds['Convolution'] + kinds['ConvolutionDepthWise'] +
                                     kinds['InnerProduct'], ops['conv'] + ops['fc'])
                    self.assertEqual(kinds['PReLU'], ops['prelu'])
                    self.assertEqual(kinds['BinaryOp'] + kinds['Swish'], ops['add'] + ops['mul'])

    def test_weights_are_the_same(self):
        """The first layer: a tag, then the floats of the ONNX file."""
        net = nets.build('mobilefacenet')
        nets.write_ncnn(net, self.folder / 'net')
        w = net.nodes[0].params[0].make().tobytes()
        self.assertEqual((self.folder / 'net.bin').read_bytes()[:4 + len(w)], bytes(4) + w)
        self.assertIn(w, self.write('mobilefacenet').read_bytes())


RECORD = {
    'format': 1, 'date': '2026-01-02', 'rounds': 3, 'cpu': 1, 'threads': [1, 2],
    'machine': {'processor': 'A <fast> & small one', 'cores': 2, 'sets': 'avx2', 'system': 'Debian',
                'load': 0.04},
    'peers': {'domovoi': {'version': '1.2'}, 'ort': {'version': '3.4'},
              'ncnn': {'missing': 'no --ncnn DIR was given'}, 'opencv': {'version': '5.6'}},
    'nets': [
        {'name': 'small', 'input': '1x3x8x8', 'mmac': 12.0, 'ms': {
            '1': {'domovoi': [2.0, 1.0, 3.0], 'ort': [4.0, 8.0, 5.0], 'opencv': [40, 40, 40]},
            '2': {'domovoi': [1.0], 'ort': [0.5], 'opencv': 'layer Foo is unknown'}}},
        {'name': 'large.onnx', 'input': '-', 'mmac': None, 'ms': {
            '1': {'domovoi': 'op Bar', 'ort': 'its input is not known'}, '2': {}}}]}


class Run(InFolder):
    """In a copy of the scripts: run.py works in build/ below them."""
    def setUp(self):
        super().setUp()
        tree = tempfile.TemporaryDirectory()
        self.addCleanup(tree.cleanup)
        for part in ('bench/peers', 'tests/ort', 'scripts'):
            shutil.copytree(SOURCE / part, Path(tree.name) / part)
        self.program = Path(tree.name) / 'bench' / 'peers' / 'run.py'

    def record(self, record=RECORD):
        path = self.folder / 'record.json'
        path.write_text(record if isinstance(record, str) else json.dumps(record))
        return path

    def tool(self, *arguments, status=0):
        done = subprocess.run(
            [sys.executable, self.program, *map(str, arguments)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def draw(self, *arguments):
        return self.tool('--from', self.record(), '--doc', self.folder / 'doc.md', *arguments)

    def test_table(self):
        self.draw()
        text = (self.folder / 'doc.md').read_text()
        self.assertEqual([line for line in text.splitlines() if len(line) > 100
                          and not line.startswith('|')], [])
        rows = [line for line in text.splitlines() if line.startswith('| ')]
        self.assertIn('| small | 1x3x8x8 | 12 | **2.00** (1.00-3.00) | **5.00** (4.00-8.00) | '
                      'not measured | **40.0** (40.0-40.0) | 0.40 |', rows)
        self.assertIn('| small | 1x3x8x8 | 12 | **1.00** (1.00-1.00) | **0.500** (0.500-0.500) | '
                      'not measured | no | 2.00 |', rows)
        self.assertIn('| large.onnx | - | - | no | no | not measured | no | - |', rows)
        for said in ('2026-01-02', 'A <fast> & small one', 'Domovoi 1.2; ONNX Runtime 3.4',
                     'ncnn: not measured, no --ncnn DIR was given.', '### 2 cores',
                     '- OpenCV: layer Foo is unknown (small)', '- Domovoi: op Bar (large.onnx)',
                     '(peers.svg)'):
            self.assertIn(said, text.replace('\n', ' '))

    def test_chart(self):
        self.draw()
        svg = '{http://www.w3.org/2000/svg}'
        root = ElementTree.parse(self.folder / 'peers.svg').getroot()
        self.assertEqual(root.tag, f'{svg}svg')
        width, height = float(root.get('width')), float(root.get('height'))
        bars = {}
        for r in root.iter(f'{svg}rect'):
            x, y, w, h = (float(r.get(k, 0)) for k in ('x', 'y', 'width', 'height'))
            self.assertTrue(0 <= x and x + w <= width and 0 <= y and y + h <= height)
            if h == report.BAR:
                bars.setdefault(r.get('class'), []).append(w)
        unit = report.BARS / report.CAP
        self.assertEqual(bars['domovoi'], [unit, unit])
        self.assertEqual(bars['ort'], [2.5 * unit, 0.5 * unit])
        self.assertEqual(bars['opencv'], [report.BARS])  # 20 times, cut
        self.assertNotIn('ncnn', bars)
        said = [t.text for t in root.iter(f'{svg}text')]
        for words in ('small', '5.00 ms, 2.5x', '40.0 ms, 20.0x', 'not run',
                      'ncnn: not measured, no --ncnn DIR was given'):
            self.assertIn(words, said)
        self.assertNotIn('large.onnx', said)  # nothing to compare with

    def test_place_in_the_document(self):
        doc = self.folder / 'doc.md'
        doc.write_text('# Log\n\nWhat it is.\n\n## Old\n\nfigures\n')
        self.draw()
        once = doc.read_text()
        self.assertTrue(once.startswith(f'# Log\n\nWhat it is.\n\n{report.BEGIN}\n## Side'))
        self.assertTrue(once.endswith(f'{report.END}\n\n## Old\n\nfigures\n'))
        self.draw()
        self.assertEqual(doc.read_text(), once)
        doc.write_text(once.replace(report.END, ''))
        self.assertIn('marks', self.tool('--from', self.record(), '--doc', doc, status=2))

    def test_no_write(self):
        said = self.draw('--no-write', '--nets', 'small')
        self.assertIn('| small |', said)
        self.assertNotIn('large.onnx', said)
        self.assertEqual([p.name for p in self.folder.iterdir()], ['record.json'])

    def test_bad_use(self):
        def wrong(words, *arguments):
            said = self.tool('--no-write', '--no-install', *arguments, status=2)
            self.assertRegex(said, words)
            self.assertNotIn('Traceback', said)
        wrong('nothing.json: No such file', '--from', 'nothing.json')
        wrong('not JSON', '--from', self.record('{'))
        wrong('not written by run.py', '--from', self.record([]))
        wrong('not written by run.py', '--from', self.record({**RECORD, 'nets': [{}]}))
        wrong('format 2', '--from', self.record({**RECORD, 'format': 2}))
        wrong('no net was measured', '--from', self.record({**RECORD, 'nets': []}))
        wrong("no net 'ir99'.*\n.*small, large.onnx", '--from', self.record(), '--nets', 'ir99')
        wrong("no net 'ir99'.*\n.*mobilefacenet", '--nets', 'ir18,ir99', '--program', DOMOVOI)
        wrong('there is no include/ncnn/net.h', '--ncnn', self.folder)
        (self.folder / 'include').mkdir()
        (self.folder / 'include' / 'net.h').touch()
        wrong('there is no lib/libncnn.a', '--ncnn', self.folder)
        wrong('/none cannot be run', '--program', '/none', '--nets', 'mobiface')
        (self.folder / 'lib').mkdir()
        (self.folder / 'lib' / 'libncnn.a').touch()
        wrong('ncnn_time.cpp cannot be built', '--ncnn', self.folder, '--nets', 'mobiface',
              '--program', DOMOVOI)
        wrong('--rounds 0', '--rounds', 0)
        wrong('--cpu 9999', '--cpu', 9999)
        wrong('cannot be written', '--json', self.folder / 'none' / 'a.json')

    def test_measures(self):
        """What is not here (perhaps all other engines) is named; ours is measured."""
        onnx = self.folder / 'bad.onnx'
        onnx.write_bytes(b'no net')
        record = self.folder / 'out.json'
        said = self.tool('--program', DOMOVOI, '--no-install', '--quick', '--rounds', 1, '--json',
                         record, '--nets', f'mobilefacenet-relu,mobilefacenet-relu.int8,{onnx}')
        made = json.loads(record.read_text())
        self.assertIsNone(report.check(made))
        self.assertEqual(made['peers']['ncnn'], {'missing': 'no --ncnn DIR was given'})
        self.assertEqual(made['peers']['ort'], {'missing': 'it is not in build/fetch/ort'})
        self.assertEqual([n['name'] for n in made['nets']],
                         ['mobilefacenet-relu', 'mobilefacenet-relu.int8', 'bad.onnx'])
        for net in made['nets'][:2]:
            self.assertAlmostEqual(net['mmac'], 221, delta=2)
            for times in net['ms'].values():
                self.assertTrue(0.01 < times['domovoi'][0] < 10000)
        self.assertIsInstance(made['nets'][2]['ms']['1']['domovoi'], str)
        self.assertRegex(said, r'\| mobilefacenet-relu\.int8 \| 1x3x112x112 \| 22\d \| \*\*\d')
        self.assertRegex(said, r'\| bad\.onnx \| - \| - \| no \|')
        self.assertNotIn(str(self.folder), said)


def fields(data):
    """(number, value) of a protobuf message: a whole number or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(tag & 7) or varint()
            at += size
            yield tag >> 3, data[at - size:at]


def ops_of(path):
    """How many nodes of each op an ONNX file has."""
    graph = next(v for k, v in fields(memoryview(path.read_bytes())) if k == 7)
    return Counter(bytes(op).decode() for k, node in fields(graph) if k == 1
                   for number, op in fields(node) if number == 4)


def have_ort():
    if not (ORT / 'node_modules' / 'onnxruntime-node').is_dir():
        return False
    try:
        run('node', ORT_JS, 'check', env={'DOMOVOI_ORT': str(ORT)})
    except (OSError, AssertionError):
        return False
    return True


def picture(seed, count=3 * 112 * 112):
    rng = random.Random(seed)
    return array('f', (rng.uniform(-1, 1) for _ in range(count)))


class Ort(InFolder):
    def small(self):
        """Written as well."""
        made = small_nets()
        for net in made:
            nets.write_onnx(net, self.folder / f'{net.name}.onnx')
        return made

    def ort(self, cases):
        """cases: NAME, file, input. What ONNX Runtime makes of each, in the folder."""
        lines = []
        for name, path, data in cases:
            (self.folder / f'{name}.in').write_bytes(data)
            lines.append(f'{name}\t{path}\tinput\t1x3x112x112\n')
        (self.folder / 'cases.txt').write_text(''.join(lines))
        run('node', ORT_JS, 'run', self.folder, env={'DOMOVOI_ORT': str(ORT)})

    def test_same_output(self):
        """As in tests/ort: each instruction set, one thread and two."""
        self.ort([(f'case{i}', self.folder / f'{net.name}.onnx', picture(i))
                  for i, net in enumerate(self.small())])
        print(run(COMPARE, 'check', self.folder), end='')

    def output(self, case, net):
        names = [line.split('\t')[0]
                 for line in (self.folder / f'{case}.outs').read_text().splitlines()]
        data = (self.folder / f'{case}.out.{names.index(net.output())}').read_bytes()
        return array('f', data)

    def test_qdq_is_near_the_float_net(self):
        made = self.small()
        cases = []
        for i, net in enumerate(made):
            nets.write_qdq(net, self.folder / f'{net.name}.qdq.onnx')
            cases += [(f'{net.name}.{form}', self.folder / f'{net.name}{end}', picture(i))
                      for form, end in (('float', '.onnx'), ('bytes', '.qdq.onnx'))]
        self.ort(cases)
        for net in made:
            with self.subTest(net.name):
                a, b = (self.output(f'{net.name}.{form}', net) for form in ('float', 'bytes'))
                self.assertEqual(len(a), len(b))
                cosine = sum(x * y for x, y in zip(a, b)) / math.sqrt(
                    sum(x * x for x in a) * sum(y * y for y in b))
                print(f'{net.name}: cosine {cosine:.4f}')
                self.assertGreater(cosine, 0.97)
                self.assertNotEqual(a, b)

    def test_qdq_runs_in_whole_numbers(self):
        """No convolution is left in floats, nor with ReLU anything but the two ends."""
        for net in self.small():
            with self.subTest(net.name):
                path, faster = (self.folder / f'{net.name}.{end}' for end in ('q.onnx', 'o.onnx'))
                nets.write_qdq(net, path)
                run('node', ORT_JS, 'optimized', path, faster, env={'DOMOVOI_ORT': str(ORT)})
                ops, want = ops_of(faster), Counter(n.op for n in net.nodes)
                self.assertEqual(ops_of(path)['Conv'], want['conv'])
                self.assertEqual(ops['QLinearConv'], want['conv'], ops)
                self.assertEqual(ops['QLinearAdd'], want['add'], ops)
                self.assertEqual(ops['QGemm'], want['fc'], ops)
                self.assertEqual(ops['Conv'] + ops['FusedConv'] + ops['Gemm'] + ops['Relu'], 0, ops)
                if not want['prelu'] and not want['norm']:
                    self.assertEqual((ops['QuantizeLinear'], ops['DequantizeLinear']), (1, 1), ops)

    def test_time(self):
        path = self.write('mobilefacenet-relu')
        said = json.loads(run('node', ORT_JS, 'time', path, '1x3x112x112', 3, 2,
                              env={'DOMOVOI_ORT': str(ORT)}))
        self.assertEqual((said['runs'], said['threads']), (3, 2))
        self.assertTrue(0 < said['min_ms'] <= said['median_ms'])
        self.assertTrue(re.fullmatch(r'\d+\.\d+\.\d+', said['version']))


if __name__ == '__main__':
    part, DOMOVOI, COMPARE, *_ = sys.argv[1:] + [None]
    DOMOVOI = os.path.abspath(DOMOVOI)
    if part == 'ort' and not have_ort():
        print(f'ONNX Runtime is not in {ORT}, or not for this machine')
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *{'nets': ['Nets', 'Ncnn'], 'run': ['Run'],
                                       'ort': ['Ort']}[part]], verbosity=2)
