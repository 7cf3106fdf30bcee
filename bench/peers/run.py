#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - how long face nets take here, in ONNX Runtime, in ncnn and in OpenCV.

    python3 bench/peers/run.py                     all; writes docs/performance.md, docs/peers.svg
    python3 bench/peers/run.py --ncnn ~/ncnn-1     with an ncnn of your own (include/ and lib/)
    python3 bench/peers/run.py --quick             four nets, two rounds, printed only
    python3 bench/peers/run.py --nets mobiface,fr_feature.onnx,my.onnx --no-write

It builds the program, fetches ONNX Runtime (npm) and OpenCV (Debian) where they are missing, makes
the nets in build/peers (1 GB) and measures. Engines take turns, each in a process of its own: first
on one core that the process is bound to, with one thread, then on all cores. Nothing else should
run meanwhile. An engine that cannot be had, or a net that one does not run, is shown as such.

Exit status: 0 done, 2 bad use or nothing to measure with, 130 stopped.
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import nets
import report

ROOT = Path(__file__).resolve().parents[2]
HERE, WORK = ROOT / 'bench' / 'peers', ROOT / 'build' / 'peers'
ORT, ORT_JS = ROOT / 'build' / 'fetch' / 'ort', ROOT / 'tests' / 'ort' / 'ort.cjs'
GENERATED = ['mobilefacenet', 'mobilefacenet-relu', 'mobilefacenet.int8', 'mobilefacenet-relu.int8',
             'mobiface', 'mobiface.int8', 'mobiface-x3', 'mobiface-x3.int8', 'ir100', 'ir100.int8']
QUICK = GENERATED[:4]
FREE_SIZE = (480, 640)  # height, width of nets that leave it free
PROBE, LEAST, MOST = 3, 10, 200  # runs: of the first try, and in a round at least and at most
SECONDS = 0.7  # what the runs of a process should take


class Missing(Exception):
    """Why an engine cannot be used, or does not run a net."""


def stop(message, remedy=''):
    print(f'peers: {message}', file=sys.stderr)
    if remedy:
        print(f'       {remedy}', file=sys.stderr)
    sys.exit(2)


def step(words):
    print(f'== {words}', file=sys.stderr, flush=True)


def reason(text):
    """The last words of a program that failed, short, without paths of this machine."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ['it said nothing']
    return re.sub(r'/(?:[^\s:/]+/)+', '', lines[-1]).replace('|', '/')[:160]


def run(*command, cpus=None, env=None):
    """Output of a program; Missing if it fails. cpus: where it may run."""
    try:
        done = subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, cwd=ROOT, timeout=1800,
            stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
    except OSError as e:
        raise Missing(f'{Path(command[0]).name}: {e.strerror}') from None
    except subprocess.TimeoutExpired:
        raise Missing('took more than half an hour') from None
    if done.returncode:
        raise Missing(reason(done.stderr or done.stdout))
    return done.stdout


# ---- engines: version() once, then command(case, threads, runs) ----

class Domovoi:
    def __init__(self, o):
        self.o, self.program = o, Path(o.program or ROOT / 'build' / 'domovoi').resolve()

    def version(self):
        if not self.o.program:
            if subprocess.run(['sh', 'scripts/build.sh'], cwd=ROOT, stdout=sys.stderr).returncode:
                stop('the program cannot be built', 'What went wrong is said above.')
        try:
            said = run(self.program, '--version').split()[-1]
        except Missing as e:
            stop(f'{self.program} cannot be run: {e}', './run build makes build/domovoi.')
        try:
            commit = run('git', 'describe', '--always', '--dirty', '--exclude=*').strip()
        except Missing:
            return said  # not a checkout
        return said if self.o.program else f'{said} ({commit})'

    def command(self, case, threads, runs):
        return [self.program, 'bench', '--model', case.dmv(self.program), '--threads', threads,
                '--runs', runs, '--json', *case.size]


class Ort:
    def __init__(self, o):
        self.o = o

    def version(self):
        kind = {'x86_64': 'ort-x64', 'aarch64': 'ort-arm64'}.get(platform.machine())
        if not kind:
            raise Missing(f'its npm package has nothing for {platform.machine()}')
        if not self.o.no_install:
            run('sh', 'scripts/fetch.sh', 'ort', kind)
        if not (ORT / 'node_modules').is_dir():
            raise Missing('it is not in build/fetch/ort')
        return run('node', ORT_JS, 'check', env={'DOMOVOI_ORT': str(ORT)}).strip()

    def command(self, case, threads, runs):
        return ['env', f'DOMOVOI_ORT={ORT}', 'node', ORT_JS, 'time',
                case.qdq() if case.int8 else case.onnx(), case.dims, runs, threads]


class OpenCV:
    def __init__(self, o):
        self.o = o

    def version(self):
        try:
            return self.check()
        except Missing:
            if self.o.no_install:
                raise
        run('sh', '-c', '. scripts/lib.sh; need peers')
        return self.check()

    def check(self):
        """Debian's module is for Debian's Python, which need not be the one that runs this."""
        for self.python in (sys.executable, '/usr/bin/python3'):
            try:
                return run(self.python, HERE / 'opencv_time.py', 'check').strip()
            except Missing as e:
                last = e
        raise last

    def command(self, case, threads, runs):
        return [self.python, HERE / 'opencv_time.py', case.onnx(), case.dims, runs, threads,
                *(['int8'] if case.int8 else [])]


class Ncnn:
    """Compiled against the ncnn in --ncnn DIR."""
    def __init__(self, o):
        self.folder = o.ncnn and Path(o.ncnn).expanduser().resolve()
        if not self.folder:
            return
        self.include = self.find('include', ('ncnn/net.h', 'net.h')).parent
        self.library = self.find('lib', ('libncnn.a', 'libncnn.so', '*/libncnn.a', '*/libncnn.so'))

    def find(self, folder, names):
        for name in names:
            for found in self.folder.glob(f'{folder}/{name}'):
                return found
        stop(f'--ncnn {self.folder}: there is no {folder}/{names[0]} in it',
             'Name the folder that `cmake --install` filled for ncnn: it has include/ and lib/.')

    def version(self):
        if not self.folder:
            raise Missing('no --ncnn DIR was given')
        self.program = WORK / 'ncnn_time'
        try:
            run(os.environ.get('CXX', 'c++'), '-O2', '-o', self.program, HERE / 'ncnn_time.cpp',
                f'-I{self.include}', self.library, f'-Wl,-rpath,{self.library.parent}', '-fopenmp',
                '-lpthread')
            return run(self.program, '--version').strip()
        except Missing as e:
            stop(f'ncnn_time.cpp cannot be built with --ncnn {self.folder}: {e}',
                 'Build ncnn with -DNCNN_VULKAN=OFF and with the same compiler.')

    def command(self, case, threads, runs):
        if not case.net:
            raise Missing('only nets of nets.py have its format')
        c, h, w = case.net.shape['input']
        return [self.program, case.ncnn(), case.net.output(), f'{w}x{h}x{c}', runs, threads]


ENGINES = {'domovoi': Domovoi, 'ort': Ort, 'ncnn': Ncnn, 'opencv': OpenCV}


# ---- nets ----

class Case:
    """A net in all its forms, made when they are asked for and kept while nothing is newer."""
    def __init__(self, name, path=None):
        self.name, self.path, self.int8 = name, path, not path and name.endswith('.int8')
        self.base = f'{name}-{zlib.crc32(bytes(path)):08x}' if path else name.removesuffix('.int8')
        self.net = None if path else nets.build(self.base)  # described here: not only a file
        self.size, self.dims, self.mmac = [], None, self.net and round(self.net.macs / 1e6, 1)
        self.wrong = None  # why it cannot be measured
        if self.net:
            self.dims = 'x'.join(map(str, (1, *self.net.shape['input'])))

    def made(self, file, sources, write):
        """write(Path) makes the file under another name first: a broken-off one is never used."""
        to = WORK / file
        if not to.exists() or any(s.stat().st_mtime >= to.stat().st_mtime for s in sources):
            write(to.with_name(f'part.{to.name}'))
            os.replace(to.with_name(f'part.{to.name}'), to)
        return to

    def from_nets(self, file, write):
        return self.made(file, [HERE / 'nets.py', HERE / 'onnx_writer.py'],
                         lambda to: write(self.net, to))

    def onnx(self):
        return self.path or self.from_nets(f'{self.base}.onnx', nets.write_onnx)

    def qdq(self):
        return self.from_nets(f'{self.base}.qdq.onnx', nets.write_qdq)

    def ncnn(self):
        prefix = f'{self.base}.int8' if self.int8 else self.base

        def write(net, to):
            nets.write_ncnn(net, to.with_suffix(''), self.int8)
            os.replace(to.with_suffix('.bin'), WORK / f'{prefix}.bin')
        return self.from_nets(f'{prefix}.param', write).with_suffix('')

    def dmv(self, program):
        model = self.made(f'{self.base}.dmv', [program, self.onnx()], lambda to: run(
            program, 'model', 'import', self.onnx(), '-o', to, '--quiet'))
        if not self.int8:
            return model
        return self.made(f'{self.base}.int8.dmv', [program, model], lambda to: run(
            program, 'model', 'quantize', model, '--random', '--samples', 8, '-o', to, '--quiet'))

    def learn(self, program):
        """The input of a net that came as a file."""
        if self.dims:
            return
        info = json.loads(run(program, 'model', 'info', '--json', self.dmv(program)))
        dims = info['inputs'][0]['dims']
        if dims[2:] == [-1, -1]:
            dims[2:] = FREE_SIZE
            self.size = ['--size', f'{FREE_SIZE[1]}x{FREE_SIZE[0]}']
        if min(dims) < 1:
            raise Missing(f'its input has free dimensions: {dims}')
        self.dims = 'x'.join(map(str, dims))


def files_here():
    return sorted([*ROOT.glob('build/fetch/onnx/*.onnx'),
                   *ROOT.glob('../shared/data/models/*/*.onnx')], key=lambda p: p.name)


def choose(names):
    """The cases of --nets, or all. What a name may be: see the end of --help."""
    if not names:
        return [Case(n) for n in GENERATED] + [Case(p.name, p) for p in files_here()]
    cases, files = [], {p.name: p for p in files_here()}
    for name in dict.fromkeys(names):
        if name.removesuffix('.int8') in nets.NETS:
            cases.append(Case(name))
        elif name in files or (name.endswith('.onnx') and Path(name).is_file()):
            path = files.get(name, Path(name).resolve())
            cases.append(Case(path.name, path))
        else:
            stop(f'--nets: there is no net {name!r}', 'There are: ' + ', '.join(
                [*nets.NETS, *files]) + '; NAME.int8 of those without .onnx; any .onnx file.')
    return cases


# ---- measuring ----

class Progress:
    """One line on a terminal that tells what runs and how long it takes still."""
    def __init__(self):
        self.seconds, self.tty = {}, sys.stderr.isatty()  # what each job takes still

    def show(self, words, left=True):
        if self.tty:
            seconds = int(sum(self.seconds.values()))
            after = f'; {seconds // 60} min {seconds % 60} s left' if left else ''
            print(f'\r\x1b[K{words}{after}', end='', file=sys.stderr, flush=True)

    def clear(self):
        if self.tty:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def measure(o, engines, cases, record):
    """Fills record['nets']. First every engine tries every net: that tells what works and how many
    runs fit in a process. Then the rounds, with another engine first each time."""
    all_cpus = os.sched_getaffinity(0)
    places = {1: {o.cpu}} | ({len(all_cpus): all_cpus} if len(all_cpus) > 1 else {})
    record['threads'] = list(places)
    todo, runs, bar = [], {}, Progress()
    record['nets'] = [{'name': c.name, 'input': c.dims or '-', 'mmac': c.mmac,
                       'ms': {str(t): {} for t in places}} for c in cases]

    def once(job, count):
        case, net, threads, peer = job
        said = json.loads(run(*engines[peer].command(case, threads, count),
                              cpus=places[threads]).splitlines()[-1])
        if peer == 'domovoi':
            net['mmac'] = round(said['mmac'], 1)
            record['machine']['sets'] = said['cpu']
        return said['median_ms']

    for case, net in zip(cases, record['nets']):
        for threads in places:
            if case.wrong:
                net['ms'][str(threads)] = dict.fromkeys(engines, 'its input is not known') | {
                    'domovoi': case.wrong}
                continue
            for peer in engines:
                bar.show(f'preparing {case.name}, {report.PEERS[peer]}', left=False)
                job = case, net, threads, peer
                try:
                    engines[peer].command(case, threads, 1)  # makes the files
                    begin = time.monotonic()
                    ms = once(job, PROBE)
                except Missing as e:
                    net['ms'][str(threads)][peer] = str(e)
                    continue
                key, count = (case.name, threads, peer), int(SECONDS * 1000 / ms)
                runs[key] = min(max(count, LEAST), MOST)
                bar.seconds[key] = o.rounds * (
                    time.monotonic() - begin + (runs[key] - PROBE) * ms / 1000)
                todo.append(job)
                net['ms'][str(threads)][peer] = []
    bar.clear()
    order = list(engines)
    for r in range(o.rounds):
        if not bar.tty:
            step(f'round {r + 1} of {o.rounds}')
        order = order[1:] + order[:1]
        for job in sorted(todo, key=lambda j: (cases.index(j[0]), j[2], order.index(j[3]))):
            case, net, threads, peer = job
            key, times = (case.name, threads, peer), net['ms'][str(threads)]
            if not isinstance(times[peer], list):
                continue
            bar.show(f'round {r + 1} of {o.rounds}: {case.name}, '
                     f'{report.cores(record, threads)}, {report.PEERS[peer]}')
            try:
                times[peer].append(once(job, runs[key]))
            except Missing as e:
                times[peer] = str(e)
            bar.seconds[key] *= (o.rounds - r - 1) / (o.rounds - r)
    bar.clear()


def processor():
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def system():
    try:
        return platform.freedesktop_os_release()['PRETTY_NAME']
    except (OSError, KeyError):
        return platform.system()


def new_record(o):
    """Measures."""
    load = os.getloadavg()[0]
    WORK.mkdir(parents=True, exist_ok=True)
    record = {'format': 1, 'date': datetime.date.today().isoformat(), 'rounds': o.rounds,
              'cpu': o.cpu, 'peers': {}, 'machine': {
                  'processor': processor(), 'cores': len(os.sched_getaffinity(0)), 'sets': '',
                  'system': system(), 'load': load}}
    engines = {peer: make(o) for peer, make in ENGINES.items()}
    choose([n for n in o.nets or [] if not n.endswith('.onnx')])  # told before the long work
    if load > 0.3:
        step(f'the machine is busy (load {load:.1f}): the times will be worse than they need to be')
    for peer, engine in list(engines.items()):
        step(report.PEERS[peer])
        try:
            record['peers'][peer] = {'version': engine.version()}
        except Missing as e:
            record['peers'][peer] = {'missing': str(e)}
            step(f'{report.PEERS[peer]} is not measured: {e}')
            del engines[peer]
    cases = choose(o.nets)  # again: building fetched some
    for case in cases:
        try:
            case.learn(engines['domovoi'].program)
        except Missing as e:
            case.wrong = str(e)
            step(f'{case.name} is not measured: {e}')
    measure(o, engines, cases, record)
    return record


def old_record(path, names):
    try:
        record = json.loads(Path(path).read_text())
    except OSError as e:
        stop(f'--from {path}: {e.strerror}')
    except ValueError as e:
        stop(f'--from {path}: not JSON: {e}')
    wrong = report.check(record)
    if wrong:
        stop(f'--from {path}: {wrong}')
    for name in names or []:
        if name not in (known := [n['name'] for n in record['nets']]):
            stop(f'--nets: there is no net {name!r} in {path}', 'There are: ' + ', '.join(known))
    record['nets'] = [n for n in record['nets'] if not names or n['name'] in names]
    return record


def write(path, text):
    try:
        part = path.with_name(f'.{path.name}.part')
        part.write_text(text)
        os.replace(part, path)
    except OSError as e:
        stop(f'{path} cannot be written: {e.strerror}')


def options():
    p = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n\n'.join(__doc__.split('\n\n')[1:]))
    p.add_argument('--nets', metavar='A,B', type=lambda s: s.split(','),
                   help='these nets only: names of nets.py, NAME.int8, or .onnx files')
    p.add_argument('--rounds', metavar='N', type=int, help='rounds (5)')
    p.add_argument('--cpu', metavar='N', type=int, help='number of the one core (the last one)')
    p.add_argument('--quick', action='store_true', help='a look at it: four nets, two rounds')
    p.add_argument('--ncnn', metavar='DIR', help='folder with include/ and lib/ of an ncnn')
    p.add_argument('--no-install', action='store_true', help='take only what is here already')
    p.add_argument('--program', metavar='FILE', help='a domovoi that is built already')
    p.add_argument('--json', metavar='FILE', type=Path, help='where the raw figures are kept')
    p.add_argument('--from', metavar='FILE', dest='old',
                   help='measure nothing: table and chart of such a file')
    p.add_argument('--doc', metavar='FILE.md', type=Path,
                   help='document to write to; peers.svg goes beside it (docs/performance.md)')
    p.add_argument('--no-write', action='store_true', help='print only; so does --quick')
    o = p.parse_args()
    cpus = os.sched_getaffinity(0)
    o.cpu = max(cpus) if o.cpu is None else o.cpu
    o.rounds = (2 if o.quick else 5) if o.rounds is None else o.rounds
    if o.cpu not in cpus:
        stop(f'--cpu {o.cpu}: this process may use {sorted(cpus)}')
    if not 1 <= o.rounds <= 100:
        stop(f'--rounds {o.rounds}: 1 to 100')
    if o.quick and not o.old and not o.nets:
        o.nets = QUICK
    o.no_write |= o.quick and not o.doc
    o.doc = o.doc or ROOT / 'docs' / 'performance.md'
    return o


def check_places(o):
    """Told before the long work: results could not be written."""
    for path in [o.json] * bool(o.json) + [o.doc] * (not o.no_write):
        if not os.access(path.resolve().parent, os.W_OK) or path.is_dir():
            stop(f'{path} cannot be written: no such folder, or not ours')
    if not o.no_write and report.into_document(document(o), '') is None:
        stop(f'{o.doc}: one of the marks {report.BEGIN} and {report.END} is missing')


def document(o):
    try:
        return o.doc.read_text() if o.doc.exists() else '# Performance\n'
    except (OSError, UnicodeDecodeError) as e:
        stop(f'{o.doc} cannot be read: {e}')


def main():
    o = options()
    check_places(o)
    try:
        record = old_record(o.old, o.nets) if o.old else new_record(o)
    except KeyboardInterrupt:
        print('\npeers: stopped, nothing was written', file=sys.stderr)
        sys.exit(130)
    if o.json:
        write(o.json, json.dumps(record, indent=1) + '\n')
    section = report.markdown(record, 'peers.svg')
    print(section, end='')
    if o.no_write:
        return
    write(o.doc.with_name('peers.svg'), report.svg(record))
    write(o.doc, report.into_document(document(o), section))
    step(f'written: {o.doc} and peers.svg beside it')


if __name__ == '__main__':
    main()
