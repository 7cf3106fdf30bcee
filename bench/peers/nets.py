#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nets.py NAME -o FILE.onnx - the nets of the comparison, with random weights.

    python3 bench/peers/nets.py --list
    python3 bench/peers/nets.py mobilefacenet -o mobilefacenet.onnx
    python3 bench/peers/nets.py mobilefacenet --qdq -o mobilefacenet.int8.onnx
    python3 bench/peers/nets.py mobilefacenet --ncnn mobilefacenet   (.param and .bin)

A net is described once (class Net) and written in several forms. How long a net takes does not
depend on its weights, as long as they keep the values in a sane range: they are normally
distributed with the deviation that keeps the size of the values from layer to layer (He), the
branch that is added to a shortcut is damped, PReLU slopes lie in 0.1..0.4. The same name gives
the same file everywhere.

Batch normalisation is folded into the convolution before it, as every exporter does. IR-ResNet
has one before a padded convolution, where it cannot be folded: it stays.
"""
import argparse
import functools
import math
import random
import sys
from array import array

import onnx_writer as onnx

POOL = 65521  # a prime: rows of weights do not repeat in step


@functools.cache
def pool():
    """Normally distributed numbers, from which all weights are cut."""
    rng = random.Random(1)
    return [rng.gauss(0, 1) for _ in range(POOL)]


class Param:
    """A tensor of weights, made when it is asked for: the largest net has 260 MB of them."""

    def __init__(self, name, dims, make):
        self.name, self.dims, self.make = name, dims, make

    def count(self):
        return math.prod(self.dims)


class Node:
    def __init__(self, op, name, inputs, params=(), **attr):
        self.op, self.name, self.inputs, self.params, self.attr = op, name, inputs, params, attr


class Net:
    """Layers in order. A value is named like the layer that makes it; all values are pictures
    (channels, height, width) or, behind fc(), vectors (length,)."""

    def __init__(self, name, size=112, seed=1):
        self.name, self.seed, self.macs = name, seed, 0
        self.nodes, self.shape = [], {'input': (3, size, size)}

    # ---- weights ----

    def _random(self):
        return random.Random(f'{self.name} {self.seed} {len(self.nodes)}')

    def _normal(self, name, dims, deviation):
        """Each row is cut from the pool at a random place."""
        rng = self._random()

        def make():
            values = array('f', [v * deviation for v in pool()])
            row, out = math.prod(dims[1:]), array('f')
            while len(values) < 2 * row:
                values += values
            for _ in range(dims[0]):
                at = rng.randrange(len(values) - row)
                out += values[at:at + row]
            return out
        return Param(name, dims, make)

    def _between(self, name, dims, low, high):
        rng = self._random()
        return Param(name, dims, lambda: array('f', (rng.uniform(low, high)
                                                      for _ in range(math.prod(dims)))))

    # ---- layers: each returns the name of its value ----

    def _add(self, op, shape, inputs, params=(), **attr):
        name = f'{op}{len(self.nodes)}'
        self.nodes.append(Node(op, name, inputs, params, **attr))
        self.shape[name] = shape
        return name

    def conv(self, x, channels, k=1, stride=1, pad=None, group=1, act=None, gain=1.0):
        """Convolution with bias, then the activation. pad: k // 2 if not given."""
        c, h, w = self.shape[x]
        pad = k // 2 if pad is None else pad
        fan_in = c // group * k * k
        h, w = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
        self.macs += channels * h * w * fan_in
        spread = gain * math.sqrt({None: 1, 'prelu': 1.9}.get(act, 2) / fan_in)
        y = self._add('conv', (channels, h, w), [x], [
            self._normal('w', (channels, c // group, k, k), spread),
            self._between('b', (channels,), -0.1, 0.1)], k=k, stride=stride, pad=pad, group=group)
        return self.act(y, act)

    def depthwise(self, x, k=3, stride=1, pad=None, act=None):
        c = self.shape[x][0]
        return self.conv(x, c, k, stride, pad, group=c, act=act)

    def act(self, x, kind):
        shape = self.shape[x]
        if kind == 'prelu':
            return self._add('prelu', shape, [x],
                             [self._between('slope', (shape[0], 1, 1), 0.1, 0.4)])
        if kind == 'swish':
            return self._add('mul', shape, [x, self._add('sigmoid', shape, [x])])
        return self._add(kind, shape, [x]) if kind else x

    def norm(self, x):
        """Batch normalisation on its own."""
        c = self.shape[x][0]
        return self._add('norm', self.shape[x], [x], [
            self._between('scale', (c,), 0.8, 1.2), self._between('shift', (c,), -0.1, 0.1),
            self._between('mean', (c,), -0.1, 0.1), self._between('var', (c,), 0.8, 1.2)])

    def add(self, a, b):
        return self._add('add', self.shape[a], [a, b])

    def average(self, x):
        return self._add('average', (self.shape[x][0], 1, 1), [x])

    def fc(self, x, length):
        """All values of x to a vector."""
        count = math.prod(self.shape[x])
        self.macs += count * length
        flat = self._add('flatten', (count,), [x])
        return self._add('fc', (length,), [flat], [
            self._normal('w', (length, count), math.sqrt(1 / count)),
            self._between('b', (length,), -0.1, 0.1)])

    def squeeze_excite(self, x, ratio):
        c = self.shape[x][0]
        y = self.conv(self.average(x), c // ratio, act='relu')
        return self._add('mul', self.shape[x], [x, self.act(self.conv(y, c), 'sigmoid')])

    def output(self):
        return self.nodes[-1].name

    def weights(self):
        return sum(p.count() for n in self.nodes for p in n.params)


# ---- the nets ----

def bottleneck(net, x, expand, channels, stride, act, se=False):
    """1x1 to `expand` channels, depthwise 3x3, 1x1 to `channels`; a shortcut where it fits."""
    fits = stride == 1 and net.shape[x][0] == channels
    y = net.conv(x, expand, act=act)
    y = net.depthwise(y, stride=stride, act=act)
    if se and fits:
        y = net.squeeze_excite(y, 4)
    y = net.conv(y, channels, gain=0.5 if fits else 1.0)
    return net.add(x, y) if fits else y


def mobilefacenet(net, act='prelu', length=128):
    """Chen et al. 2018, table 1."""
    x = net.conv('input', 64, 3, stride=2, act=act)
    x = net.depthwise(x, act=act)
    for t, c, n, s in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)):
        for i in range(n):
            x = bottleneck(net, x, t * net.shape[x][0], c, s if i == 0 else 1, act)
    x = net.conv(x, 512, act=act)
    x = net.depthwise(x, k=7, pad=0)
    net._add('flatten', (length,), [net.conv(x, length)])


def mobiface(net, act='prelu', se=False, width=1.0, length=512):
    """Duong et al. 2018 with a global average at the end. Its variant "x3, swish, SE" is not
    published; ours is as wide as gives it 1/13 to 1/14 of the work of IR-ResNet-100."""
    def wide(c):
        return max(8, int(c * width / 8 + 0.5) * 8)
    x = net.conv('input', wide(64), 3, stride=2, act=act)
    x = net.depthwise(x, act=act)
    for expand, c, n in ((128, 64, 2), (256, 128, 3), (512, 256, 6)):
        x = bottleneck(net, x, wide(expand), wide(c), 2, act)
        for _ in range(n):
            x = bottleneck(net, x, wide(expand), wide(c), 1, act, se)
    x = net.conv(x, wide(512), act=act)
    net.fc(net.average(x), length)


def ir_resnet(net, units, act='prelu', norm=True, length=512):
    """The residual net of ArcFace (Deng et al. 2019). norm: each unit begins with a batch
    normalisation; the other ones are folded."""
    x = net.conv('input', 64, 3, act=act)
    for n, channels in zip(units, (64, 128, 256, 512)):
        for i in range(n):
            stride = 2 if i == 0 else 1
            y = net.norm(x) if norm else x
            y = net.conv(y, channels, 3, act=act)
            y = net.conv(y, channels, 3, stride, gain=0.3)
            x = net.add(y, x if stride == 1 else net.conv(x, channels, stride=2))
    net.fc(x, length)


# NAME: (what makes it, its options, published MMAC or None, what it is)
NETS = {
    'mobilefacenet': (mobilefacenet, {}, 221.0, 'MobileFaceNet, PReLU, 128-d'),
    'mobilefacenet-relu': (mobilefacenet, {'act': 'relu'}, 221.0, 'MobileFaceNet, ReLU, 128-d'),
    'mobiface': (mobiface, {}, None, 'MobiFace, PReLU, 512-d'),
    'mobiface-x3': (mobiface, {'act': 'swish', 'se': True, 'width': 2.0}, None,
                    'MobiFace x3, swish, squeeze-excite: twice as wide, 1/13 of IR-ResNet-100'),
    'ir18': (ir_resnet, {'units': (2, 2, 2, 2)}, 2630, 'IR-ResNet-18, PReLU, 512-d'),
    'ir18-relu': (ir_resnet, {'units': (2, 2, 2, 2), 'act': 'relu', 'norm': False}, 2630,
                  'IR-ResNet-18, ReLU, no BN in front'),
    'ir50': (ir_resnet, {'units': (3, 4, 14, 3)}, 6330, 'IR-ResNet-50, PReLU, 512-d'),
    'ir100': (ir_resnet, {'units': (3, 13, 30, 3)}, 12100, 'IR-ResNet-100, PReLU, 512-d'),
    'ir100-relu': (ir_resnet, {'units': (3, 13, 30, 3), 'act': 'relu', 'norm': False}, 12100,
                   'IR-ResNet-100, ReLU, no BN in front'),
}


def build(name):
    make, options, _, _ = NETS[name]
    net = Net(name)
    make(net, **options)
    return net


# ---- ONNX ----

def conv_attributes(node):
    a = node.attr
    return {'kernel_shape': [a['k']] * 2, 'strides': [a['stride']] * 2, 'pads': [a['pad']] * 4,
            'dilations': [1, 1], 'group': a['group']}


ONNX_OPS = {'conv': 'Conv', 'fc': 'Gemm', 'prelu': 'PRelu', 'relu': 'Relu', 'sigmoid': 'Sigmoid',
            'mul': 'Mul', 'add': 'Add', 'norm': 'BatchNormalization',
            'average': 'GlobalAveragePool', 'flatten': 'Flatten'}


def onnx_attributes(node):
    return {'conv': lambda: conv_attributes(node), 'fc': lambda: {'transB': 1},
            'norm': lambda: {'epsilon': 1e-5}, 'flatten': lambda: {'axis': 1},
            }.get(node.op, dict)()


def write_onnx(net, path, all_outputs=False):
    """all_outputs: every value is an output of the net."""
    m = onnx.Model(net.name)
    m.input('input', (1, *net.shape['input']))
    for n in net.nodes:
        params = [m.constant(f'{n.name}.{p.name}', onnx.FLOAT, p.dims, p.make()) for p in n.params]
        m.node(ONNX_OPS[n.op], n.inputs + params, [n.name], **onnx_attributes(n))
        if all_outputs or n.name == net.output():
            m.output(n.name, (1, *net.shape[n.name]))
    m.write(path)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('name', nargs='?', choices=NETS, metavar='NAME')
    p.add_argument('-o', metavar='FILE.onnx', help='where the net is written')
    p.add_argument('--list', action='store_true', help='names, sizes and what they are')
    o = p.parse_args()
    if o.list:
        print(f'{"name":20} {"MMAC":>8} {"million weights":>16}  what it is')
        for name in NETS:
            net = build(name)
            print(f'{name:20} {net.macs / 1e6:8.1f} {net.weights() / 1e6:16.3f}  {NETS[name][3]}')
        return
    if not o.name or not o.o:
        p.error('a NAME and -o FILE.onnx, or --list')
    write_onnx(build(o.name), o.o)


if __name__ == '__main__':
    sys.exit(main())
