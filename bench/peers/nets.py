#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nets.py NAME -o FILE.onnx - the nets of the comparison, with random weights.

    python3 bench/peers/nets.py --list
    python3 bench/peers/nets.py mobilefacenet -o mobilefacenet.onnx
    python3 bench/peers/nets.py mobilefacenet --qdq -o mobilefacenet.int8.onnx
    python3 bench/peers/nets.py mobilefacenet --ncnn mobilefacenet   (.param and .bin)
    python3 bench/peers/nets.py mobilefacenet --ncnn-int8 mobilefacenet.int8

A net is described once (class Net) and written in several forms. How long a net takes does not
depend on its weights, as long as they keep the values in a sane range: they are normally
distributed with the deviation that keeps the size of the values from layer to layer (He), the
branch that is added to a shortcut is damped, PReLU slopes lie in 0.1..0.4. The same name gives
the same file everywhere.

Batch normalisation is folded into the convolution before it, as every exporter does. IR-ResNet
has one before a padded convolution, where it cannot be folded: it stays.

The 8-bit forms have one scale and zero point for each value, made from its expected range (see
ranges()), and one scale for each output channel of the weights.
"""
import argparse
import collections
import functools
import math
import random
import struct
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

    def __init__(self, name, dims, make, deviation):
        self.name, self.dims, self.make, self.deviation = name, dims, make, deviation

    def count(self):
        return math.prod(self.dims)

    def bytes(self):
        """Each output channel between -127 and 127: an array of bytes, an array of scales."""
        values, row = self.make(), math.prod(self.dims[1:])
        out, scales = array('b'), array('f')
        for at in range(0, len(values), row):
            part = values[at:at + row]
            scale = max(max(part), -min(part)) / 127
            scales.append(scale)
            out.extend([round(v / scale) for v in part])
        return out, scales


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
        """Makes the same generator each time: a weight that is made again is the same."""
        return functools.partial(random.Random, f'{self.name} {self.seed} {len(self.nodes)}')

    def _normal(self, name, dims, deviation):
        """Each row is cut from the pool at a random place."""
        start = self._random()

        def make():
            rng, values = start(), array('f', [v * deviation for v in pool()])
            row, out = math.prod(dims[1:]), array('f')
            while len(values) < 2 * row:
                values += values
            for _ in range(dims[0]):
                at = rng.randrange(len(values) - row)
                out += values[at:at + row]
            return out
        return Param(name, dims, make, deviation)

    def _between(self, name, dims, low, high):
        start = self._random()

        def make():
            rng = start()
            return array('f', (rng.uniform(low, high) for _ in range(math.prod(dims))))
        return Param(name, dims, make, (high - low) / math.sqrt(12))

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
    for t, c, n, s in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2),
                       (2, 128, 2, 1)):
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


# ---- 8 bits ----

KEEP = 6  # deviations to each side


def ranges(net):
    """NAME: (mean square, lowest, highest) of each value. Nothing is run: a sum of many products
    with random weights is normally distributed, and of what deviation is known."""
    nodes, out = {n.name: n for n in net.nodes}, {'input': (1 / 3, -1.0, 1.0)}
    for n in net.nodes:
        square, low, high = out[n.inputs[0]]
        both = None  # the mean square, where both sides of a normal distribution are kept
        if n.op in ('conv', 'fc'):
            w, b = n.params
            both = square * math.prod(w.dims[1:]) * w.deviation ** 2 + b.deviation ** 2
        elif n.op == 'add':
            both = square + out[n.inputs[1]][0]
        elif n.op == 'norm':
            both = square * 1.04 + n.params[1].deviation ** 2
        elif n.op == 'relu':
            square, low = square / 2, 0.0
        elif n.op == 'prelu':
            square, low = square * (1 + 0.07) / 2, low * 0.4
        elif n.op == 'sigmoid':
            square, low, high = 0.3, 0.0, 1.0
        elif n.op == 'mul' and n.inputs[0] in nodes[n.inputs[1]].inputs:  # swish
            square, low = square * 0.36, -0.28
        elif n.op == 'mul':
            square *= 0.3
        if both is not None:
            square, high = both, KEEP * math.sqrt(both)
            low = -high
        out[n.name] = square, low, high
    return out


def real32(value):
    """As a 32-bit float."""
    return struct.unpack('<f', struct.pack('<f', value))[0]


def grid(low, high):
    """Scale and zero point of bytes for this range."""
    scale = real32((high - low) / 255)
    return scale, min(255, max(0, round(-low / scale)))


def only_use(net, name):
    """The only layer that takes this value, or None."""
    uses = [n for n in net.nodes if name in n.inputs]
    return uses[0] if len(uses) == 1 and name != net.output() else None


def write_qdq(net, path, all_outputs=False):
    """QuantizeLinear and DequantizeLinear behind each layer: ONNX Runtime makes integer layers of
    what stands between them. A ReLU has none in front: the zero of its result does its work."""
    m, known, grids = onnx.Model(net.name), ranges(net), {}
    m.input('input', (1, *net.shape['input']))

    def constant(name, kind, dims, values):
        return m.constant(name, kind, dims, array(onnx.CODES[kind], values))

    def weights(name, kind, dims, values, scales):
        """A DequantizeLinear behind a constant of whole numbers, with a scale a channel."""
        count = (len(scales),)
        from_ = [constant(f'{name}.q', kind, dims, values),
                 constant(f'{name}.q.scale', onnx.FLOAT, count, scales)]
        if kind == onnx.INT8:  # INT32 has none
            from_.append(constant(f'{name}.q.zero', kind, count, [0] * len(scales)))
        m.node('DequantizeLinear', from_, [name], axis=0)
        return name

    def through_bytes(value, raw, to, like=None):
        """like: a value whose scale and zero point this one shares."""
        grids[value] = grids[like] if like else grid(*known[value][1:])
        of = [constant(f'{value}.q.scale', onnx.FLOAT, (), [grids[value][0]]),
              constant(f'{value}.q.zero', onnx.UINT8, (), [grids[value][1]])]
        m.node('QuantizeLinear', [raw] + of, [f'{value}.q'])
        m.node('DequantizeLinear', [f'{value}.q'] + of, [to])

    through_bytes('input', 'input', 'input.dq')
    for n in net.nodes:
        params = []
        if n.op in ('conv', 'fc'):
            w, b = n.params
            values, scales = w.bytes()
            params.append(weights(f'{n.name}.w', onnx.INT8, w.dims, values, scales))
            scales = [real32(s * grids[n.inputs[0]][0]) for s in scales]
            values = [round(v / s) for v, s in zip(b.make(), scales)]
            params.append(weights(f'{n.name}.b', onnx.INT32, b.dims, values, scales))
        else:
            params += [m.constant(f'{n.name}.{p.name}', onnx.FLOAT, p.dims, p.make())
                       for p in n.params]
        inputs = ['input.dq' if x == 'input' else x for x in n.inputs]
        next_ = only_use(net, n.name)
        if next_ and next_.op == 'relu':
            m.node(ONNX_OPS[n.op], inputs + params, [n.name], **onnx_attributes(n))
            grids[n.name] = None
            continue
        m.node(ONNX_OPS[n.op], inputs + params, [f'{n.name}.float'], **onnx_attributes(n))
        through_bytes(n.name, f'{n.name}.float', n.name, n.inputs[0] if n.op == 'flatten' else None)
        if all_outputs or n.name == net.output():
            m.output(n.name, (1, *net.shape[n.name]))
    m.write(path)


# ---- ncnn ----

FLOAT_TAG, INT8_TAG = array('I', [0]), array('I', [0x000D4B38])
RELU, SIGMOID = 1, 4  # activations of ncnn's convolution


def ncnn_scale(known, value):
    _, low, high = known[value]
    return array('f', [127 / max(-low, high)])


def ncnn_matrix(net, n, to, known, int8):
    """Convolution or inner product, with what is fused into it: kind, numbers, data. 8 bits: the
    weights, their scales and that of the input; where a convolution alone reads the result, its
    scale as well. ncnn has no zero points."""
    w, b = n.params
    if net.shape[n.inputs[0]][1:] in ((), (1, 1)):
        kind, numbers = 'InnerProduct', {0: w.dims[0], 1: 1, 2: w.count()}
    else:
        a = n.attr
        kind = 'ConvolutionDepthWise' if a['group'] > 1 else 'Convolution'
        numbers = {0: w.dims[0], 1: a['k'], 3: a['stride'], 4: a['pad'], 5: 1, 6: w.count()}
        if a['group'] > 1:
            numbers[7] = a['group']
    if to != n.name:
        numbers[9] = RELU if only_use(net, n.name).op == 'relu' else SIGMOID
    if not int8:
        return kind, numbers, [FLOAT_TAG, w.make(), b.make()]
    values, scales = w.bytes()
    values.extend([0] * (-len(values) % 4))
    data = [INT8_TAG, values, b.make(), array('f', [1 / s for s in scales]),
            ncnn_scale(known, n.inputs[0])]
    numbers[8] = 1 if kind == 'ConvolutionDepthWise' else 2
    next_ = only_use(net, to)
    if kind != 'InnerProduct' and next_ and next_.op == 'conv':
        numbers[8] += 100
        data.append(ncnn_scale(known, to))
    return kind, numbers, data


def ncnn_layers(net, int8=False):
    """(kind, inputs, output, numbers, data) of each layer, in the form that ncnn's own converters
    give a net: activations that it knows are part of the convolution before, x * sigmoid(x) is
    one layer."""
    known, gone = ranges(net), set()
    c, h, w = net.shape['input']
    yield 'Input', [], 'input', {0: w, 1: h, 2: c}, []
    for n in net.nodes:
        to, c = n.name, net.shape[n.name][0]
        if to in gone:
            continue
        if n.op in ('conv', 'fc'):
            next_ = only_use(net, to)
            if n.op == 'conv' and next_ and next_.op in ('relu', 'sigmoid'):
                to = next_.name
                gone.add(to)
            kind, numbers, data = ncnn_matrix(net, n, to, known, int8)
            yield kind, n.inputs, to, numbers, data
            continue
        if n.op == 'sigmoid':
            next_ = only_use(net, to)
            if next_ and next_.op == 'mul' and n.inputs[0] in next_.inputs:
                gone.add(next_.name)
                yield 'Swish', n.inputs, next_.name, {}, []
                continue
        kind, numbers = {
            'relu': ('ReLU', {}), 'sigmoid': ('Sigmoid', {}), 'prelu': ('PReLU', {0: c}),
            'add': ('BinaryOp', {0: 0}), 'mul': ('BinaryOp', {0: 2}), 'flatten': ('Flatten', {}),
            'norm': ('BatchNorm', {0: c, 1: 1e-5}), 'average': ('Pooling', {0: 1, 4: 1})}[n.op]
        order = (0, 2, 3, 1) if n.op == 'norm' else range(len(n.params))
        yield kind, n.inputs, to, numbers, [n.params[i].make() for i in order]


def write_ncnn(net, prefix, int8=False):
    """PREFIX.param and PREFIX.bin. A value with several readers goes through a Split layer."""
    layers = list(ncnn_layers(net, int8))
    readers = collections.Counter(x for _, inputs, *_ in layers for x in inputs)
    lines, blobs, taken = [], 0, collections.Counter()

    def line(kind, name, inputs, outputs, numbers):
        nonlocal blobs
        blobs += len(outputs)
        lines.append(' '.join([f'{kind:20} {name:16} {len(inputs)} {len(outputs)}', *inputs,
                               *outputs, *(f'{k}={v}' for k, v in numbers.items())]))

    def reader(value):
        if readers[value] < 2:
            return value
        taken[value] += 1
        return f'{value}_{taken[value] - 1}'

    with open(f'{prefix}.bin', 'wb') as f:
        for kind, inputs, to, numbers, data in layers:
            line(kind, to, [reader(x) for x in inputs], [to], numbers)
            if readers[to] > 1:
                line('Split', f'{to}_split', [to], [f'{to}_{i}' for i in range(readers[to])], {})
            for part in data:
                f.write(onnx.little(part))
    with open(f'{prefix}.param', 'w') as f:
        f.write('\n'.join(['7767517', f'{len(lines)} {blobs}', *lines, '']))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('name', nargs='?', choices=NETS, metavar='NAME')
    p.add_argument('-o', metavar='FILE.onnx', help='where the net is written')
    p.add_argument('--qdq', action='store_true', help='8 bits: with QuantizeLinear nodes')
    p.add_argument('--ncnn', metavar='PREFIX', help='writes PREFIX.param and PREFIX.bin')
    p.add_argument('--ncnn-int8', metavar='PREFIX', help='the same in 8 bits')
    p.add_argument('--list', action='store_true', help='names, sizes and what they are')
    o = p.parse_args()
    if o.list:
        print(f'{"name":20} {"MMAC":>8} {"million weights":>16}  what it is')
        for name in NETS:
            net = build(name)
            print(f'{name:20} {net.macs / 1e6:8.1f} {net.weights() / 1e6:16.3f}  {NETS[name][3]}')
        return 0
    if not o.name or not (o.o or o.ncnn or o.ncnn_int8):
        p.error('a NAME and -o FILE.onnx, --ncnn or --ncnn-int8 PREFIX; or --list')
    if o.qdq and not o.o:
        p.error('--qdq: -o FILE.onnx is missing')
    try:
        if o.o:
            (write_qdq if o.qdq else write_onnx)(build(o.name), o.o)
        if o.ncnn:
            write_ncnn(build(o.name), o.ncnn)
        if o.ncnn_int8:
            write_ncnn(build(o.name), o.ncnn_int8, int8=True)
    except OSError as e:
        print(f'nets.py: {e}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
