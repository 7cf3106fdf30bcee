# SPDX-License-Identifier: Apache-2.0
"""onnx_writer.py - writes ONNX files, with nothing but Python's standard library.

An ONNX file is one protobuf message. Of that format three things are enough: a field is a tag
(number << 3 | kind) and a value, a value is a varint (kind 0), four bytes (kind 5) or a counted
string of bytes (kind 2), and a message inside a message is such a string. The field numbers
below are those of onnx.proto.

    onnx = Model('net', opset=13)
    onnx.input('input', (1, 3, 112, 112))
    onnx.constant('w', FLOAT, (64, 3, 3, 3), array('f', ...))
    onnx.node('Conv', ['input', 'w'], ['y'], strides=[2, 2])
    onnx.output('y', (1, 64, 55, 55))
    onnx.write('net.onnx')
"""
import struct
import sys

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
CODES = {FLOAT: 'f', UINT8: 'B', INT8: 'b', INT32: 'i', INT64: 'q'}  # of array.array
IR_VERSION = 8


def varint(value):
    value &= (1 << 64) - 1  # a negative number is its two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Message:
    """The fields of one message, kept in pieces: weights are not copied until they are written."""

    def __init__(self):
        self.pieces = []
        self.size = 0

    def _add(self, piece):
        self.pieces.append(piece)
        self.size += len(piece)

    def number(self, field, value):
        self._add(varint(field << 3) + varint(value))

    def real(self, field, value):
        self._add(varint(field << 3 | 5) + struct.pack('<f', value))

    def bytes(self, field, value):
        self._add(varint(field << 3 | 2) + varint(len(value)))
        self._add(value)

    def text(self, field, value):
        self.bytes(field, value.encode())

    def message(self, field, inner):
        self._add(varint(field << 3 | 2) + varint(inner.size))
        self.pieces += inner.pieces
        self.size += inner.size


def little(values):
    """An array.array as bytes, the lowest first."""
    if sys.byteorder == 'big' and values.itemsize > 1:
        values = values[:]
        values.byteswap()
    return memoryview(values).cast('B')


def tensor(name, kind, dims, values):
    """TensorProto. values: an array.array of the same kind."""
    m = Message()
    for d in dims:
        m.number(1, d)
    m.number(2, kind)
    m.text(8, name)
    m.bytes(9, little(values))
    return m


def value_info(name, dims, kind=FLOAT):
    """ValueInfoProto: name, and in the type the element kind and the dimensions."""
    shape = Message()
    for d in dims:
        dim = Message()
        dim.number(1, d)
        shape.message(1, dim)
    of_tensor = Message()
    of_tensor.number(1, kind)
    of_tensor.message(2, shape)
    of_value = Message()
    of_value.message(1, of_tensor)
    m = Message()
    m.text(1, name)
    m.message(2, of_value)
    return m


def attribute(name, value):
    """AttributeProto: a number, a text or a list of whole numbers."""
    m = Message()
    m.text(1, name)
    if isinstance(value, float):
        m.real(2, value)
        m.number(20, 1)
    elif isinstance(value, int):
        m.number(3, value)
        m.number(20, 2)
    elif isinstance(value, str):
        m.text(4, value)
        m.number(20, 3)
    else:
        for v in value:
            m.number(8, v)
        m.number(20, 7)
    return m


class Model:
    """Nodes must come in an order in which they can run."""

    def __init__(self, name, opset=13):
        self.name = name
        self.opset = opset
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def input(self, name, dims):
        self.inputs.append(value_info(name, dims))

    def output(self, name, dims):
        self.outputs.append(value_info(name, dims))

    def constant(self, name, kind, dims, values):
        self.constants.append(tensor(name, kind, dims, values))
        return name

    def node(self, op, inputs, outputs, **attributes):
        m = Message()
        for name in inputs:
            m.text(1, name)
        for name in outputs:
            m.text(2, name)
        m.text(3, outputs[0])
        m.text(4, op)
        for name, value in attributes.items():
            m.message(5, attribute(name, value))
        self.nodes.append(m)

    def write(self, path):
        graph = Message()
        for m in self.nodes:
            graph.message(1, m)
        graph.text(2, self.name)
        for m in self.constants:
            graph.message(5, m)
        for m in self.inputs:
            graph.message(11, m)
        for m in self.outputs:
            graph.message(12, m)
        opset = Message()
        opset.text(1, '')
        opset.number(2, self.opset)
        model = Message()
        model.number(1, IR_VERSION)
        model.text(2, 'domovoi bench/peers')
        model.message(7, graph)
        model.message(8, opset)
        with open(path, 'wb') as f:
            f.writelines(model.pieces)
