// SPDX-License-Identifier: Apache-2.0
//
// ncnn_time NET OUTPUT WxHxC RUNS THREADS [FILE] - how long ncnn takes for NET.param and NET.bin:
// one line of JSON. The input is called "input". FILE gets the output as floats, for comparison.
// ncnn_time --version - that of ncnn.
//
// Compiled by run.py against the ncnn of the user.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "net.h"

static int fail(const char *what, const std::string &name)
{
    fprintf(stderr, "ncnn_time: %s: %s\n", name.c_str(), what);
    return 2;
}

static double now_ms()
{
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char **argv)
{
    int w, h, c;
    if (argc == 2 && std::string(argv[1]) == "--version")
        return puts(NCNN_VERSION_STRING) < 0;
    if (argc < 6 || sscanf(argv[3], "%dx%dx%d", &w, &h, &c) != 3)
        return fail("usage: NET OUTPUT WxHxC RUNS THREADS [FILE]", "arguments");
    std::string name = argv[1];
    int runs = std::max(atoi(argv[4]), 1), threads = std::max(atoi(argv[5]), 1);

    ncnn::Net net;
    net.opt.num_threads = threads;
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
    net.opt.use_bf16_storage = false; // 32-bit floats, as the others
    if (net.load_param((name + ".param").c_str()) != 0)
        return fail("ncnn cannot load this", name + ".param");
    if (net.load_model((name + ".bin").c_str()) != 0)
        return fail("ncnn cannot load this", name + ".bin");

    ncnn::Mat in(w, h, c);
    unsigned seed = 1;
    for (int q = 0; q < c; q++) {
        float *p = in.channel(q);
        for (int i = 0; i < w * h; i++) {
            seed = seed * 1664525u + 1013904223u;
            p[i] = float(seed >> 8) / (1 << 23) - 1;
        }
    }
    ncnn::Mat out;
    std::vector<double> ms;
    for (int i = -5; i < runs; i++) {
        double begin = now_ms();
        ncnn::Extractor ex = net.create_extractor();
        if (ex.input("input", in) != 0 || ex.extract(argv[2], out) != 0)
            return fail("ncnn cannot run this net", name);
        if (i >= 0)
            ms.push_back(now_ms() - begin);
    }
    if (argc > 6) {
        FILE *f = fopen(argv[6], "wb");
        ncnn::Mat flat = out.reshape(out.w * out.h * out.c);
        size_t n = size_t(flat.w);
        if (!f || fwrite(flat.data, sizeof(float), n, f) != n || fclose(f) != 0)
            return fail("cannot be written", argv[6]);
    }
    std::sort(ms.begin(), ms.end());
    printf("{\"median_ms\": %.6f, \"min_ms\": %.6f, \"runs\": %d, \"threads\": %d, \"version\": "
           "\"%s\"}\n",
           ms[ms.size() / 2], ms[0], runs, threads, NCNN_VERSION_STRING);
    return 0;
}
