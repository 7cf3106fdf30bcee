// SPDX-License-Identifier: Apache-2.0
// ort.cjs - ONNX Runtime for the comparison, through onnxruntime-node.
//
//   node ort.cjs run FOLDER [LEVEL]  every case of FOLDER/cases.txt (made by `compare inputs`):
//                                  CASE <tab> NET.onnx <tab> INPUT <tab> 1x3x112x112, input in
//                                  FOLDER/CASE.in (several inputs: with commas between).
//                                  Outputs go to FOLDER/CASE.out.K with a line NAME <tab> dims
//                                  each in FOLDER/CASE.outs. LEVEL: how far the graph is
//                                  rewritten first, disabled, basic, extended or all.
//   node ort.cjs time NET.onnx DIMS [RUNS [THREADS]]   median and minimum of the runs, as JSON
//   node ort.cjs optimized NET.onnx OUT.onnx   the net as ONNX Runtime rewrites it to run it
//   node ort.cjs check             prints the version if ONNX Runtime can be loaded
//
// DOMOVOI_ORT names the folder that holds node_modules/onnxruntime-node.
'use strict';
const fs = require('fs');
const path = require('path');

const home = path.join(path.resolve(process.env.DOMOVOI_ORT || '.'), 'node_modules',
  'onnxruntime-node');
const load = () => require(home);
const version = () => require(path.join(home, 'package.json')).version;

function open(ort, file, more) {
  return ort.InferenceSession.create(file, {
    intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential',
    graphOptimizationLevel: 'all', logSeverityLevel: 3, ...more,
  });
}

async function run(folder, level) {
  const ort = load();
  const sessions = new Map(), how = { graphOptimizationLevel: level || 'all' };
  for (const line of fs.readFileSync(path.join(folder, 'cases.txt'), 'utf8').split('\n')) {
    if (!line) continue;
    const [name, net, input, shape] = line.split('\t');
    if (!sessions.has(net)) sessions.set(net, await open(ort, net, how));
    const session = sessions.get(net);
    const bytes = fs.readFileSync(path.join(folder, `${name}.in`));
    const data = new Float32Array(bytes.length / 4);
    Buffer.from(data.buffer).set(bytes);
    const feeds = {}, shapes = shape.split(',').map((t) => t.split('x').map(Number));
    let at = 0;
    input.split(',').forEach((one, k) => {
      const count = shapes[k].reduce((a, b) => a * b, 1);
      feeds[one] = new ort.Tensor('float32', data.subarray(at, at + count), shapes[k]);
      at += count;
    });
    const got = await session.run(feeds);
    const lines = [];
    session.outputNames.forEach((output, k) => {
      const t = got[output];
      if (t.type !== 'float32') throw new Error(`${net}: output ${output} is ${t.type}`);
      fs.writeFileSync(path.join(folder, `${name}.out.${k}`),
        Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength));
      lines.push(`${output}\t${t.dims.join('x')}\n`);
    });
    fs.writeFileSync(path.join(folder, `${name}.outs`), lines.join(''));
  }
}

async function time(net, shape, runs, threads) {
  const ort = load();
  const session = await open(ort, net, { intraOpNumThreads: threads });
  const dims = shape.split('x').map(Number);
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  let seed = 1;
  for (let i = 0; i < data.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    data[i] = (seed >>> 8) / (1 << 23) - 1;
  }
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, dims) };
  for (let i = 0; i < 5; i++) await session.run(feeds);
  const ms = [];
  for (let i = 0; i < runs; i++) {
    const begin = process.hrtime.bigint();
    await session.run(feeds);
    ms.push(Number(process.hrtime.bigint() - begin) / 1e6);
  }
  ms.sort((a, b) => a - b);
  console.log(JSON.stringify(
    { median_ms: ms[ms.length >> 1], min_ms: ms[0], runs, threads, version: version() }));
}

const [verb, ...args] = process.argv.slice(2);
const work = {
  run: () => run(args[0], args[1]),
  time: () => time(args[0], args[1], Number(args[2] || 50), Number(args[3] || 1)),
  optimized: () => open(load(), args[0], {
    graphOptimizationLevel: 'extended', optimizedModelFilePath: args[1] }),
  check: async () => { load(); console.log(version()); },
}[verb];
if (!work) {
  console.error('usage: node ort.cjs run FOLDER [LEVEL] | time NET.onnx DIMS [RUNS [THREADS]] |\n'
    + '  optimized NET.onnx OUT.onnx | check');
  process.exit(2);
}
work().catch((e) => { console.error(`ort.cjs: ${e.message}`); process.exit(1); });
