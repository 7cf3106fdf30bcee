# SPDX-License-Identifier: Apache-2.0
"""test_peers.py nets|ort DOMOVOI [COMPARE] - the nets of bench/peers.

nets  they have the multiply-adds that their papers state, and so says the program, which reads
      the files; the same name gives the same file
ort   ONNX Runtime and our engine make the same of them; exit status 77 without ONNX Runtime
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
from array import array
from pathlib import Path

SOURCE = Path(os.environ['DOMOVOI_SOURCE'])
sys.path.insert(0, str(SOURCE / 'bench' / 'peers'))
import nets  # noqa: E402

ORT = Path(os.environ['DOMOVOI_CACHE']) / 'ort'
ORT_JS = SOURCE / 'tests' / 'ort' / 'ort.cjs'
SMALL = ['mobilefacenet', 'mobilefacenet-relu', 'mobiface', 'mobiface-x3', 'ir18', 'ir18-relu']


def run(*command, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f'{command[0]}: status {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout


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
        """Written as well. IR-ResNet has one unit a stage here and a short vector."""
        made = [nets.build(n) for n in SMALL if not n.startswith('ir')]
        for name, how in (('ir', {}), ('ir-relu', {'act': 'relu', 'norm': False})):
            made.append(nets.Net(name))
            nets.ir_resnet(made[-1], (1, 1, 1, 1), length=16, **how)
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


if __name__ == '__main__':
    part, DOMOVOI, COMPARE, *_ = sys.argv[1:] + [None]
    if part == 'ort' and not have_ort():
        print(f'ONNX Runtime is not in {ORT}, or not for this machine')
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], {'nets': 'Nets', 'ort': 'Ort'}[part]], verbosity=2)
