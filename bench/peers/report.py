# SPDX-License-Identifier: Apache-2.0
"""report.py - what run.py measured as Markdown and as a bar chart (SVG).

A record is what `run.py --json` writes:

    {"format": 1, "date": "2026-11-28", "rounds": 5, "cpu": 1, "threads": [1, 2],
     "machine": {"processor": ..., "cores": 2, "sets": ..., "system": ..., "load": 0.1},
     "peers": {"domovoi": {"version": "0.1.0"}, "ncnn": {"missing": "why"}, ...},
     "nets": [{"name": "mobilefacenet", "input": "1x3x112x112", "mmac": 221.0,
               "ms": {"1": {"domovoi": [2.5, ...one a round], "opencv": "why not"}, "2": ...}}]}
"""
import textwrap
from statistics import median
from xml.sax.saxutils import escape

PEERS = {'domovoi': 'Domovoi', 'ort': 'ONNX Runtime', 'ncnn': 'ncnn', 'opencv': 'OpenCV'}
BEGIN, END = '<!-- peers:begin -->', '<!-- peers:end -->'


def check(record):
    """What is wrong with a record that was read from a file, or None."""
    try:
        if record['format'] != 1:
            return f'format {record["format"]}; this program knows format 1'
        for key in ('processor', 'cores', 'sets', 'system', 'load'):
            record['machine'][key]
        for key in ('date', 'rounds', 'cpu'):
            record[key]
        for peer in PEERS:
            if not isinstance(record['peers'][peer].get('version'), str):
                record['peers'][peer]['missing'] + ''
        if not record['nets'] or not record['threads']:
            return 'no net was measured'
        for net in record['nets']:
            for threads in record['threads']:
                for peer in PEERS:
                    got = net['ms'][str(threads)].get(peer)
                    if isinstance(got, list) and not (got and all(v > 0 for v in got)):
                        return f'{net["name"]}: times of {peer} that are none'
            escape(net['name'] + net['input'])
            net['mmac'] is None or net['mmac'] + 0.0
    except (KeyError, TypeError, AttributeError, IndexError) as e:
        return f'not written by run.py --json ({type(e).__name__}: {e})'
    return None


def measured(record, net, threads, peer):
    """The times of the rounds; None if there are none."""
    got = net['ms'][str(threads)].get(peer)
    return got if isinstance(got, list) else None


def digits(ms):
    return f'{ms:.3f}' if ms < 1 else f'{ms:.2f}' if ms < 10 else f'{ms:.1f}'


def ratio(record, net, threads):
    """Our time over that of the best peer, or None."""
    ours = measured(record, net, threads, 'domovoi')
    others = [median(t) for p in PEERS if p != 'domovoi'
              and (t := measured(record, net, threads, p))]
    return median(ours) / min(others) if ours and others else None


def versions(record):
    """Name and version of each engine, and why one is not there."""
    here, missing = [], []
    for peer, title in PEERS.items():
        p = record['peers'][peer]
        if 'version' in p:
            here.append(f'{title} {p["version"]}')
        else:
            missing.append(f'{title}: not measured, {p["missing"]}')
    return here, missing


def cores(record, threads):
    return f'One core (number {record["cpu"]})' if threads == 1 else f'{threads} cores'


def table(record, threads, notes):
    """notes: collects why a cell is empty."""
    lines = ['| net | input | MMAC | ' + ' | '.join(PEERS.values()) + ' | ours / best peer |',
             '| --- | --- | ---: |' + ' ---: |' * (len(PEERS) + 1)]
    for net in record['nets']:
        macs = net['mmac']
        cells = [net['name'], net['input'],
                 '-' if macs is None else f'{macs:,.0f}' if macs > 10 else f'{macs:.1f}']
        for peer in PEERS:
            times = measured(record, net, threads, peer)
            if times:
                cells.append(f'**{digits(median(times))}** '
                             f'({digits(min(times))}-{digits(max(times))})')
                continue
            here = 'version' in record['peers'][peer]
            cells.append('no' if here else 'not measured')
            why = net['ms'][str(threads)].get(peer)
            if here and why:
                notes.setdefault(f'{PEERS[peer]}: {why}', []).append(net['name'])
        r = ratio(record, net, threads)
        lines.append('| ' + ' | '.join(cells + [f'{r:.2f}' if r else '-']) + ' |')
    return lines


def markdown(record, chart):
    """The section for docs/performance.md, without the marks. chart: name of the SVG file."""
    m, (here, missing), notes = record['machine'], versions(record), {}
    tables = []
    for threads in record['threads']:
        tables += ['', f'### {cores(record, threads)}', '', *table(record, threads, notes)]
    rounds = f'{record["rounds"]} rounds' if record['rounds'] > 1 else 'one round'

    def wrapped(words):
        return textwrap.fill(words, 100, break_on_hyphens=False, break_long_words=False)
    return '\n'.join([
        '## Side by side with other engines', '', wrapped(
            'Written by `python3 bench/peers/run.py`, which repeats it. '
            f'{record["date"]}, {m["processor"]}, {m["cores"]} cores ({m["sets"]}), {m["system"]}, '
            f'load {m["load"]:.1f} before the start. {"; ".join(here)}.'),
        *(f'\n{wrapped(line)}.' for line in missing), '', wrapped(
            f'Milliseconds a run, batch 1, random input: the median of {rounds}, and the lowest '
            'and highest round. In a round each engine runs each net in a process of its own, which '
            'gives the median of its runs; engines take turns. The last column is below 1 where '
            'Domovoi is the fastest. Names without `.onnx` are nets with random weights '
            '(`bench/peers/nets.py --list`), 32-bit floats in all engines. `.int8` is the same net '
            'in 8 bits: `model quantize --random` for Domovoi, QDQ for ONNX Runtime, its own 8-bit '
            'format for ncnn, `Net.quantize` for OpenCV.'),
        '', f'![Time of each engine as a multiple of ours]({chart})', *tables,
        *([''] + [wrapped(f'- {why} ({", ".join(dict.fromkeys(names))})')
                  for why, names in notes.items()] if notes else [])]) + '\n'


def into_document(text, section):
    """The document with this section between the marks; they go behind the introduction (the
    first heading and its text) if they are not there. None if only one mark is there."""
    inner = f'{BEGIN}\n{section}{END}'
    if (BEGIN in text) != (END in text) or text.find(BEGIN) > text.find(END):
        return None
    if BEGIN in text:
        return text[:text.index(BEGIN)] + inner + text[text.index(END) + len(END):]
    at = text.find('\n## ')
    if at < 0:
        return text.rstrip('\n') + f'\n\n{inner}\n'
    return text[:at + 1] + inner + '\n' + text[at:]


# ---- chart ----

BAR, GAP, GROUP = 12, 2, 16  # heights; GROUP: space between nets
LABEL, BARS, VALUE = 190, 270, 130  # widths: names, bars, what stands behind a bar
LONGEST = 26  # letters of a name
CAP = 5  # a bar is cut here and says so
STYLE = '''
    text { font: 11px system-ui, sans-serif; fill: #1f2328 }
    .name { font-weight: 600; text-anchor: end } .head { font-size: 14px; font-weight: 600 }
    .small, .none { fill: #59636e } .page { fill: #ffffff } .axis { stroke: #d1d9e0 }
    .one { stroke: #59636e } .domovoi { fill: #0969da } .ort { fill: #bc4c00 }
    .ncnn { fill: #1a7f37 } .opencv { fill: #8250df }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small, .none { fill: #9198a1 } .page { fill: #0d1117 }
      .axis { stroke: #3d444d } .one { stroke: #9198a1 } .domovoi { fill: #4493f8 }
      .ort { fill: #f0883e } .ncnn { fill: #3fb950 } .opencv { fill: #ab7df8 }
    }'''


def svg(record):
    """A group of bars for each net, a panel for each number of threads. Bars are multiples of our
    time, as times differ by a factor of hundred between nets; the milliseconds stand behind."""
    here, missing = versions(record)
    peers = [p for p in PEERS if 'version' in record['peers'][p]]
    out = []

    def text(x, y, words, kind=''):
        cls = f' class="{kind}"' if kind else ''
        out.append(f'<text x="{x:g}" y="{y:g}"{cls}>{escape(words)}</text>')

    def rect(x, y, w, h, kind):
        out.append(f'<rect x="{x:.4g}" y="{y:g}" width="{w:.4g}" height="{h}" class="{kind}"/>')

    step = BARS / CAP
    top, panel = 92 + 14 * len(missing), BARS + VALUE
    height_of = len(peers) * (BAR + GAP) + GROUP
    nets = [n for n in record['nets'] if any(
        measured(record, n, t, 'domovoi') for t in record['threads'])]
    width = LABEL + panel * len(record['threads']) + 10
    height = top + len(nets) * height_of + 24
    text(12, 22, 'Time a run, as a multiple of Domovoi (shorter is faster)', 'head')
    m = record['machine']
    text(12, 39, f'{record["date"]}, {m["processor"]}; batch 1, rounds: {record["rounds"]}',
         'small')
    x = 12
    for peer, words in zip(peers, here):
        rect(x, 48, 10, 10, peer)
        text(x + 15, 57, words)
        x += 35 + 6.5 * len(words)
    for i, words in enumerate(missing):
        text(12, 72 + 14 * i, words, 'none')
    for i, net in enumerate(nets):
        name = net['name'] if len(net['name']) <= LONGEST else net['name'][:LONGEST - 1] + '…'
        text(LABEL - 10, top + i * height_of + BAR - 2, name, 'name')
    for k, threads in enumerate(record['threads']):
        left = LABEL + k * panel
        text(left, top - 12, cores(record, threads), 'small')
        for v in range(CAP + 1):
            x = left + v * step
            out.append(f'<line x1="{x:g}" y1="{top - 4}" x2="{x:g}" y2="{height - 20}" '
                       f'class="{"one" if v == 1 else "axis"}"/>')
            text(x + 2, height - 8, f'{v}x', 'small')
        for i, net in enumerate(nets):
            ours = measured(record, net, threads, 'domovoi')
            for j, peer in enumerate(peers):
                y = top + i * height_of + j * (BAR + GAP)
                times = measured(record, net, threads, peer)
                if not times:
                    text(left + 4, y + BAR - 2, 'not run', 'none')
                    continue
                ms = median(times)
                times_ours = ms / median(ours) if ours else CAP
                cut = times_ours > CAP
                rect(left, y, min(times_ours, CAP) * step, BAR, peer)
                if cut:  # a slanted gap
                    x = left + BARS - 16
                    out.append(f'<path d="M{x:g} {y + BAR} l5 -{BAR} h4 l-5 {BAR} z" '
                               'class="page"/>')
                said = f'{digits(ms)} ms'
                if ours and peer != 'domovoi':
                    said += f', {times_ours:.{1 if times_ours >= 2 else 2}f}x'
                text(left + min(times_ours, CAP) * step + 5, y + BAR - 2, said)
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">',
        '<title>Time of face nets in Domovoi and other engines</title>',
        f'<style>{STYLE}\n</style>', f'<rect width="{width}" height="{height}" class="page"/>',
        *out, '</svg>', ''])
