# SPDX-License-Identifier: Apache-2.0
"""Faces, embeddings and names from pixels: the Domovoi runtime library from Python.

    import domovoi

    context = domovoi.Context(threads=2)
    pipeline = domovoi.Pipeline(context,
                                detector=domovoi.Model(context, 'detect.dmv'),
                                embedder=domovoi.Model(context, 'embed.dmv'))
    image = domovoi.Image(pixels, 640, 480)           # bytes, RGB, row after row
    index = domovoi.Index(context, pipeline.dim)
    for number, face in enumerate(pipeline.detect(image)):
        index.add(number, pipeline.embed(image, face))
    best = index.search(vector, 3)                    # [Match(id=1, score=0.71), ...]

This file is all there is: it needs Python 3.8 or later and libdomovoi.so, and nothing is
compiled. The library is the file that $DOMOVOI_LIBRARY names; without that variable it is
looked for beside this file, in the build folder of the source tree, and where the system
keeps its libraries.

Pixels are anything with the buffer protocol: bytes, bytearray, memoryview, array.array, mmap,
a NumPy array of uint8 with the shape (height, width[, channels]). Pictures from Pillow go in
as domovoi.Image(picture.convert('RGB').tobytes(), *picture.size). Embeddings come back as
array.array('f'), which numpy.asarray() takes without a copy of its own.

What the library reports is raised as domovoi.Error with its words; a wrong argument is a
ValueError or TypeError. Objects close when they are no longer used, or at the end of a `with`,
or by close(); what was opened on a closed one stays usable. Objects of one context may be used
from several threads, which then take turns: open a context for each thread that is to work at
the same time. Models may be shared between contexts.
"""
import array
import ctypes
import ctypes.util
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_size_t, c_uint64, c_void_p
from typing import NamedTuple, Optional, Tuple

__all__ = ['ALIGNED_SIZE', 'Context', 'Error', 'Face', 'Image', 'Index', 'Match', 'Model',
           'Pipeline', 'Quality', 'align', 'quality', 'similarity', 'version']

ALIGNED_SIZE = 112
_ABI = '0.1.'  # the structures below are those of this series of the library

_STATUS = {1: 'memory', 2: 'argument', 3: 'io', 4: 'format', 5: 'unsupported', 6: 'version',
           7: 'mismatch', 8: 'limit', 9: 'not found'}
_FORMATS = {'rgb': (0, 3), 'bgr': (1, 3), 'gray': (2, 1), 'rgba': (3, 4)}
_KINDS = ('other', 'detector', 'embedder', 'landmarks')
_LEVELS = ('error', 'warning', 'info', 'debug')


class Error(Exception):
    """A call failed. `status` is one of: memory, argument, io, format, unsupported, version,
    mismatch, limit, not found."""

    def __init__(self, code, message):
        super().__init__(message)
        self.status = _STATUS.get(code, str(code))


class Face(NamedTuple):
    """A face: box (x, y, width, height) in pixels, score 0..1, five points (left eye, right
    eye, nose, left and right corner of the mouth) or None, quality 0..1 or None."""
    box: Tuple[float, float, float, float]
    score: float
    landmarks: Optional[Tuple[Tuple[float, float], ...]] = None
    quality: Optional[float] = None


class Match(NamedTuple):
    """A result of Index.search: the id given to add, the cosine similarity -1..1."""
    id: int
    score: float


class Quality(NamedTuple):
    """Each 0..1; total is the geometric mean of the others."""
    size: float
    pose: float
    sharpness: float
    exposure: float
    total: float


_LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)


class _Options(ctypes.Structure):
    _fields_ = [('struct_size', c_size_t), ('threads', c_int), ('cpu', c_char_p), ('log', _LOG),
                ('log_user', c_void_p)]


class _Image(ctypes.Structure):
    _fields_ = [('pixels', c_void_p), ('width', c_int), ('height', c_int), ('stride', c_size_t),
                ('format', c_int)]


class _Face(ctypes.Structure):
    _fields_ = [('box', c_float * 4), ('score', c_float), ('landmarks', c_float * 2 * 5),
                ('has_landmarks', c_int), ('quality', c_float)]


class _PipelineOptions(ctypes.Structure):
    _fields_ = [('struct_size', c_size_t), ('score_threshold', c_float), ('nms_iou', c_float),
                ('max_side', c_int), ('scales', c_int), ('mirror', c_int), ('quality', c_int)]


class _Match(ctypes.Structure):
    _fields_ = [('id', c_uint64), ('score', c_float)]


class _Quality(ctypes.Structure):
    _fields_ = [(name, c_float) for name in Quality._fields]


_FUNCTIONS = {
    'version': (c_char_p, []),
    'status_string': (c_char_p, [c_int]),
    'options_init': (None, [POINTER(_Options)]),
    'context_open': (c_int, [POINTER(_Options), POINTER(c_void_p)]),
    'context_close': (None, [POINTER(c_void_p)]),
    'error': (c_char_p, [c_void_p]),
    'context_cpu': (c_char_p, [c_void_p]),
    'context_threads': (c_int, [c_void_p]),
    'model_open': (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    'model_close': (None, [POINTER(c_void_p)]),
    'model_get_kind': (c_int, [c_void_p]),
    'model_id': (c_char_p, [c_void_p]),
    'model_text': (c_char_p, [c_void_p, c_char_p]),
    'model_dim': (c_size_t, [c_void_p]),
    'model_threshold': (c_int, [c_void_p, c_double, POINTER(c_float)]),
    'pipeline_options_init': (None, [POINTER(_PipelineOptions)]),
    'pipeline_open': (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, POINTER(_PipelineOptions),
                              POINTER(c_void_p)]),
    'pipeline_close': (None, [POINTER(c_void_p)]),
    'pipeline_detect': (c_int, [c_void_p, POINTER(_Image), POINTER(_Face), c_size_t,
                                POINTER(c_size_t)]),
    'pipeline_embed': (c_int, [c_void_p, POINTER(_Image), POINTER(_Face), POINTER(c_float)]),
    'pipeline_embed_aligned': (c_int, [c_void_p, POINTER(_Image), POINTER(c_float)]),
    'pipeline_dim': (c_size_t, [c_void_p]),
    'align': (c_int, [POINTER(_Image), c_float * 2 * 5, c_void_p]),
    'face_quality': (c_int, [POINTER(_Image), POINTER(_Face), POINTER(_Quality)]),
    'similarity': (c_float, [POINTER(c_float), POINTER(c_float), c_size_t]),
    'index_open': (c_int, [c_void_p, c_size_t, POINTER(c_void_p)]),
    'index_close': (None, [POINTER(c_void_p)]),
    'index_add': (c_int, [c_void_p, c_uint64, POINTER(c_float)]),
    'index_remove': (c_int, [c_void_p, c_uint64, POINTER(c_size_t)]),
    'index_size': (c_size_t, [c_void_p]),
    'index_search': (c_int, [c_void_p, POINTER(c_float), c_size_t, POINTER(_Match),
                             POINTER(c_size_t)]),
}


class _Library:
    """The functions of libdomovoi without their prefix, with their types set."""

    def __init__(self):
        self._file = self._open()
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(self._file, 'dmv_' + name)
            except AttributeError:
                raise ImportError(f'{self._file._name} is not a Domovoi library: '
                                  f'it has no dmv_{name}') from None
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        found = self.version().decode()
        if not found.startswith(_ABI):
            raise ImportError(f'{self._file._name} is Domovoi {found}, this module is for '
                              f'{_ABI}x: use the domovoi.py that came with the library')

    @staticmethod
    def _open():
        named = os.environ.get('DOMOVOI_LIBRARY')
        if named:
            try:
                return ctypes.CDLL(named)
            except OSError as e:
                raise ImportError(f'$DOMOVOI_LIBRARY: {e}') from None
        here = os.path.dirname(os.path.abspath(__file__))
        near = [os.path.join(here, 'libdomovoi.so'),
                os.path.join(here, '..', '..', 'build', 'src', 'libdomovoi.so')]
        names = [path for path in near if os.path.exists(path)]
        names += [ctypes.util.find_library('domovoi') or 'libdomovoi.so.0']
        why = []
        for name in names:
            try:
                return ctypes.CDLL(name)
            except OSError as e:
                why.append(str(e))
        raise ImportError('; '.join(why) + '. Install Domovoi, or name its libdomovoi.so in '
                          '$DOMOVOI_LIBRARY')


_lib = _Library()
_count_lock = threading.RLock()


def version():
    """The version of the library, such as "0.1.0"."""
    return _lib.version().decode()


class _Handle:
    """A pointer of the library, closed when its last user lets go. What is opened on a handle
    is a user of it, so that the order in which Python drops objects does not matter."""

    def __init__(self, pointer, close, lock, uses=()):
        self.pointer, self._close, self.lock, self._uses = pointer, close, lock, uses
        self._users = 1
        for other in uses:
            other.hold()

    def hold(self):
        with _count_lock:
            self._users += 1

    def release(self):
        with _count_lock:
            self._users -= 1
            last = self._users == 0
        if last:
            with self.lock:
                self._close(byref(self.pointer))
            for other in self._uses:
                other.release()


class _Object:
    """What Context, Model, Pipeline and Index have in common."""
    _handle = None

    def _pointer(self):
        handle = self._handle
        if handle is None:
            raise ValueError(f'this {type(self).__name__} is closed')
        return handle.pointer

    def close(self):
        """Gives the memory back, once nothing opened on this object needs it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.release()

    def __enter__(self):
        self._pointer()
        return self

    def __exit__(self, *ignored):
        self.close()

    def __del__(self):
        self.close()


def _need(value, kind):
    if not isinstance(value, kind):
        raise TypeError(f'a domovoi.{kind.__name__} is needed, not {type(value).__name__}')
    value._pointer()
    return value._handle


def _check(context, status):
    """Raises what went wrong; the lock of the context, if there is one, is held."""
    if status:
        words = _lib.error(context.pointer) if context else b''
        raise Error(status, (words or _lib.status_string(status)).decode('utf-8', 'replace'))


def _text(value):
    data = os.fsencode(value)
    if b'\0' in data:
        raise ValueError('text with a null character')
    return data


def _vector(values, dim=None):
    """n floats as the library takes them, and n."""
    if isinstance(values, array.array) and values.typecode == 'f':
        n = len(values)
        data = (c_float * n).from_buffer(values)
    else:
        values = [float(v) for v in values]
        n = len(values)
        data = (c_float * n)(*values)
    if dim is not None and n != dim:
        raise ValueError(f'{dim} numbers are needed, not {n}')
    return data, n


class Context(_Object):
    """Threads and instruction set that calls use, and the place of their messages.

    threads: 1..64, 0 = all processors. cpu: the highest instruction set to use ("c", "avx2",
    "neon", ...), None = the best there is. log: called as log(level, message) with the level
    "error", "warning", "info" or "debug".
    """

    def __init__(self, threads=0, cpu=None, log=None):
        options = _Options()
        _lib.options_init(byref(options))
        options.threads = threads
        options.cpu = None if cpu is None else _text(cpu)
        if log is not None:
            # Kept by the closing function below: the library may log as long as it is open.
            options.log = callback = _LOG(lambda user, level, message: log(
                _LEVELS[min(max(level, 0), 3)], message.decode('utf-8', 'replace')))
        else:
            callback = None
        pointer = c_void_p()
        _check(None, _lib.context_open(byref(options), byref(pointer)))

        def close(p, kept=callback):
            _lib.context_close(p)
        self._handle = _Handle(pointer, close, threading.RLock())

    @property
    def cpu(self):
        """Names of the instruction sets in use, such as "avx2 avx512"."""
        return _lib.context_cpu(self._pointer()).decode()

    @property
    def threads(self):
        """Workers that one call uses."""
        return _lib.context_threads(self._pointer())


class Model(_Object):
    """A net from a .dmv file (`domovoi model import` writes them)."""

    def __init__(self, context, path):
        owner = _need(context, Context)
        pointer = c_void_p()
        with owner.lock:
            _check(owner, _lib.model_open(owner.pointer, _text(path), byref(pointer)))
        self._handle = _Handle(pointer, _lib.model_close, threading.RLock())

    @property
    def kind(self):
        """ "detector", "embedder", "landmarks" or "other". """
        return _KINDS[_lib.model_get_kind(self._pointer())]

    @property
    def id(self):
        """32 hexadecimal digits that depend on graph and weights only."""
        return _lib.model_id(self._pointer()).decode()

    @property
    def dim(self):
        """Length of the embedding; 0 if this is not an embedder."""
        return _lib.model_dim(self._pointer())

    def text(self, key):
        """A property such as "name", "licence" or "origin"; None if the file has none."""
        value = _lib.model_text(self._pointer(), _text(key))
        return None if value is None else value.decode('utf-8', 'replace')

    def threshold(self, fmr):
        """Similarity from which two faces count as one person, at a false match rate such as
        1e-3. An Error with the status "not found" if none was measured for that rate."""
        value = c_float()
        _check(None, _lib.model_threshold(self._pointer(), fmr, byref(value)))
        return value.value


class Image:
    """A picture: pixels, width, height, format "rgb", "bgr", "gray" or "rgba".

    Objects that know their shape (NumPy arrays, memoryviews with dimensions) need no width and
    height. stride: bytes from row to row, if the rows are padded. Pixels are not copied if they
    lie in one piece and may be written, or are bytes: change them only between calls.
    """

    def __init__(self, pixels, width=None, height=None, format=None, stride=None):
        view = memoryview(pixels)
        if view.itemsize != 1:
            raise TypeError('pixels must be bytes (uint8)')
        if width is None or height is None:
            if view.ndim not in (2, 3):
                raise ValueError('width and height are needed')
            height, width = view.shape[:2]
            channels = view.shape[2] if view.ndim == 3 else 1
            format = format or {1: 'gray', 3: 'rgb', 4: 'rgba'}.get(channels)
            if format not in _FORMATS or _FORMATS[format][1] != channels:
                raise ValueError(f'{channels} channels do not make a {format or "picture"}')
            if stride is not None:
                raise ValueError('stride is for pixels without a shape')
        format = format or 'rgb'
        if format not in _FORMATS:
            raise ValueError(f'unknown format {format!r}: rgb, bgr, gray or rgba')
        code, channels = _FORMATS[format]
        if not (1 <= width <= 32767 and 1 <= height <= 32767):
            raise ValueError(f'{width} x {height}: sides are 1 to 32767 pixels')
        row = width * channels
        stride = row if stride is None else stride
        if stride < row:
            raise ValueError(f'stride {stride} is less than a row of {row} bytes')
        if view.nbytes < stride * (height - 1) + row:
            raise ValueError(f'{width} x {height} {format} needs {stride * (height - 1) + row} '
                             f'bytes, there are {view.nbytes}')
        self.width, self.height, self.format = width, height, format
        if view.c_contiguous and not view.readonly:
            self._pixels = (ctypes.c_ubyte * view.nbytes).from_buffer(view)
        else:
            self._pixels = pixels if isinstance(pixels, bytes) else view.tobytes()
        address = ctypes.cast(self._pixels, c_void_p)
        self._view = _Image(address, width, height, stride, code)


def _image(value):
    return value if isinstance(value, Image) else Image(value)


def _points(landmarks):
    points = [tuple(p) for p in landmarks]
    if len(points) != 5 or any(len(p) != 2 for p in points):
        raise ValueError('five landmarks of x and y are needed')
    return (c_float * 2 * 5)(*[(c_float * 2)(*p) for p in points])


def _face(face):
    f = _Face((c_float * 4)(*face.box), face.score)
    f.quality = -1 if face.quality is None else face.quality
    if face.landmarks is not None:
        f.landmarks = _points(face.landmarks)
        f.has_landmarks = 1
    return f


class Pipeline(_Object):
    """From a picture to faces and embeddings.

    detector, landmarks, embedder: models; leave out what is not wanted (landmarks are for
    detectors that find no points). Options as in dmv_pipeline_options: score_threshold,
    nms_iou, max_side, scales, mirror, quality.
    """

    def __init__(self, context, detector=None, landmarks=None, embedder=None, **options):
        owner = _need(context, Context)
        models = [None if m is None else _need(m, Model) for m in (detector, landmarks, embedder)]
        o = _PipelineOptions()
        _lib.pipeline_options_init(byref(o))
        known = [name for name, _ in _PipelineOptions._fields_[1:]]
        for name, value in options.items():
            if name not in known:
                raise TypeError(f'unknown option {name!r}: {", ".join(known)}')
            setattr(o, name, value)
        pointer = c_void_p()
        with owner.lock:
            _check(owner, _lib.pipeline_open(owner.pointer, *[m and m.pointer for m in models],
                                             byref(o), byref(pointer)))
        self._owner = owner
        self._handle = _Handle(pointer, _lib.pipeline_close, owner.lock,
                               [owner] + [m for m in models if m])

    @property
    def dim(self):
        """Length of an embedding; 0 without an embedder."""
        return _lib.pipeline_dim(self._pointer())

    def detect(self, image, limit=256):
        """The faces in an Image (or array), highest score first, at most `limit`."""
        image = _image(image)
        if limit < 1:
            raise ValueError('limit must be at least 1')
        found, n = (_Face * limit)(), c_size_t()
        with self._owner.lock:
            _check(self._owner, _lib.pipeline_detect(self._pointer(), byref(image._view), found,
                                                     limit, byref(n)))
        return [Face(tuple(f.box), f.score,
                     tuple(tuple(p) for p in f.landmarks) if f.has_landmarks else None,
                     f.quality if f.quality >= 0 else None) for f in found[:n.value]]

    def _embed(self, function, *arguments):
        result = array.array('f', bytes(4 * self.dim))
        if not result:
            raise ValueError('this Pipeline was opened without an embedder')
        data, _ = _vector(result)
        with self._owner.lock:
            _check(self._owner, function(self._pointer(), *arguments, data))
        return result

    def embed(self, image, face):
        """The embedding, of length 1, of a face that detect found in this image."""
        image = _image(image)
        return self._embed(_lib.pipeline_embed, byref(image._view), byref(_face(face)))

    def embed_aligned(self, image):
        """The same for a picture that is one aligned face, ALIGNED_SIZE pixels square."""
        image = _image(image)
        return self._embed(_lib.pipeline_embed_aligned, byref(image._view))


class Index(_Object):
    """Exact search among embeddings."""

    def __init__(self, context, dim):
        owner = _need(context, Context)
        if dim < 1:
            raise ValueError('dim must be at least 1')
        pointer = c_void_p()
        with owner.lock:
            _check(owner, _lib.index_open(owner.pointer, dim, byref(pointer)))
        self.dim = dim
        self._owner = owner
        self._handle = _Handle(pointer, _lib.index_close, owner.lock, [owner])

    @staticmethod
    def _id(number):
        if not 0 <= number < 1 << 64:
            raise ValueError(f'id {number} is not in 0 .. 2^64 - 1')
        return number

    def add(self, id, vector):
        """Copies a vector in. Several may share an id (0 .. 2^64 - 1)."""
        data, _ = _vector(vector, self.dim)
        with self._owner.lock:
            _check(self._owner, _lib.index_add(self._pointer(), self._id(id), data))

    def remove(self, id):
        """Removes and wipes every vector of that id; tells how many there were."""
        n = c_size_t()
        with self._owner.lock:
            _check(self._owner, _lib.index_remove(self._pointer(), self._id(id), byref(n)))
        return n.value

    def __len__(self):
        return _lib.index_size(self._pointer())

    def search(self, vector, k=1):
        """The k best distinct ids as Match, best first."""
        data, _ = _vector(vector, self.dim)
        if k < 1:
            raise ValueError('k must be at least 1')
        with self._owner.lock:
            k = max(1, min(k, len(self)))
            found, n = (_Match * k)(), c_size_t()
            _check(self._owner, _lib.index_search(self._pointer(), data, k, found, byref(n)))
        return [Match(m.id, m.score) for m in found[:n.value]]


def similarity(a, b):
    """Cosine similarity, -1..1, of two vectors of the same length; 0 if one has no length."""
    x, n = _vector(a)
    y, _ = _vector(b, n)
    return _lib.similarity(x, y, n)


def align(image, landmarks):
    """The face of these five landmarks turned upright, ALIGNED_SIZE pixels square, as RGB
    bytes. Image(align(...), ALIGNED_SIZE, ALIGNED_SIZE) makes a picture of them."""
    image = _image(image)
    rgb = ctypes.create_string_buffer(ALIGNED_SIZE * ALIGNED_SIZE * 3)
    _check(None, _lib.align(byref(image._view), _points(landmarks), rgb))
    return rgb.raw


def quality(image, face):
    """How good a face is for recognition, as Quality."""
    image = _image(image)
    q = _Quality()
    _check(None, _lib.face_quality(byref(image._view), byref(_face(face)), byref(q)))
    return Quality(*[getattr(q, name) for name in Quality._fields])
