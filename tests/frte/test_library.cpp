// SPDX-License-Identifier: Apache-2.0
//
// test_library.cpp - the library of FRTE 1:1 called directly: what it makes of wrong
// configurations, pictures and templates, and of memory that runs out.
//
//     test_library config     without nets
//     test_library faces      with those of DOMOVOI_BUILD/models; exits 77 without them
#include <frvt11.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>
#include <unistd.h>

using FRVT::EyePair;
using FRVT::Image;
using FRVT::ReturnCode;
using FRVT::ReturnStatus;
using FRVT::TemplateRole;
using std::string;
using std::vector;

typedef vector<uint8_t> Template;

// ---- memory that runs out: also for the library, which takes these from the program ----

static long allocations_left = -1; // -1 = enough

#define APART __attribute__((noinline)) /* gcc warns of what it sees through */

APART void *operator new(size_t n)
{
    void *p = allocations_left ? malloc(n ? n : 1) : nullptr;
    if (!p) {
        throw std::bad_alloc();
    }
    allocations_left -= allocations_left > 0;
    return p;
}
APART void operator delete(void *p) noexcept
{
    free(p);
}
void operator delete(void *p, size_t) noexcept;
APART void operator delete(void *p, size_t) noexcept
{
    free(p);
}

// ---- checks ----

static int failures;

static void check(bool good, const char *what, int line)
{
    if (!good) {
        fprintf(stderr, "test_library.cpp:%d: %s\n", line, what);
        failures++;
    }
}
#define CHECK(x) check((x), #x, __LINE__)
#define CHECK_CODE(s, c) check_code((s), ReturnCode::c, #c, __LINE__)

static void check_code(const ReturnStatus &s, ReturnCode want, const char *name, int line)
{
    if (s.code != want) {
        fprintf(stderr, "test_library.cpp:%d: code %d (%s), not %s\n", line, int(s.code),
                s.info.c_str(), name);
        failures++;
    }
}

static string folder; // of the configuration; a new one

static void put(const string &name, const string &text)
{
    std::ofstream(folder + "/" + name, std::ios::binary) << text;
}

static string get(const string &path)
{
    std::ifstream in(path, std::ios::binary);
    return string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

static Image picture(int w, int h, int depth, int value)
{
    Image image;
    image.width = uint16_t(w);
    image.height = uint16_t(h);
    image.depth = uint8_t(depth);
    const size_t n = size_t(w) * size_t(h) * 3;
    image.data.reset(new uint8_t[n ? n : 1], std::default_delete<uint8_t[]>());
    memset(image.data.get(), value, n);
    return image;
}

// A face that the default detector finds: skin, hair, eyes and mouth.
static Image drawn_face(int shade)
{
    Image image = picture(200, 200, 24, 200);
    for (int y = 0; y < 200; y++) {
        for (int x = 0; x < 200; x++) {
            const double dx = (x - 100) / 48.0, dy = (y - 100) / 64.0;
            int v = 200, cut = 0;
            if (dx * dx + (dy + 0.15) * (dy + 0.15) < 1.15) {
                v = 40; // hair
            }
            if (dx * dx + dy * dy < 1) {
                v = shade + int(20 * dx);
                cut = 30;
            }
            if (dy < -0.55 && dx * dx + dy * dy < 1) {
                v = 40;
                cut = 0;
            }
            for (int side = -1; side <= 1; side += 2) {
                const double ex = (x - 100 - 19 * side) / 10.0, ey = (y - 92) / 4.5,
                             bx = (x - 100 - 19 * side) / 13.0, by = (y - 79) / 2.5;
                if (ex * ex + ey * ey < 1) {
                    v = ex * ex < 0.2 ? 20 : 235;
                    cut = 0;
                }
                if (bx * bx + by * by < 1) {
                    v = 50;
                    cut = 0;
                }
            }
            const double nx = (x - 100) / 9.0, ny = (y - 118) / 4.0, mx = (x - 100) / 19.0,
                         my = (y - 137) / 5.0;
            if (nx * nx + ny * ny < 1) {
                v = shade - 40;
            }
            if (mx * mx + my * my < 1) {
                v = 100;
                cut = 40;
            }
            uint8_t *p = image.data.get() + 3 * (y * 200 + x);
            p[0] = uint8_t(v);
            p[1] = uint8_t(std::max(v - cut, 0));
            p[2] = uint8_t(std::max(v - cut, 0));
        }
    }
    return image;
}

static void wrong_config(const string &text, const char *word)
{
    const auto library = FRVT_11::Interface::getImplementation();
    put("domovoi.conf", text);
    const ReturnStatus s = library->initialize(folder);
    if (s.code != ReturnCode::ConfigError || s.info.find(word) == string::npos) {
        fprintf(stderr, "\"%s\": code %d, \"%s\"; ConfigError with \"%s\" is wanted\n",
                text.c_str(), int(s.code), s.info.c_str(), word);
        failures++;
    }
}

static void config()
{
    const auto library = FRVT_11::Interface::getImplementation();
    CHECK_CODE(library->initialize(folder), ConfigError); // no domovoi.conf
    CHECK_CODE(library->initialize("/no/such/folder"), ConfigError);
    CHECK_CODE(library->initialize(""), ConfigError);

    // Not initialised: no face, but templates that can be matched.
    Template t, u;
    vector<Template> several;
    vector<EyePair> eyes;
    double score = 5;
    const vector<Image> one(1, picture(64, 64, 24, 0));
    CHECK_CODE(library->createFaceTemplate(one, TemplateRole::Enrollment_11, t, eyes), ConfigError);
    CHECK(!t.empty() && eyes.size() == 1);
    CHECK_CODE(library->createFaceTemplate(one[0], TemplateRole::Enrollment_11, several, eyes),
               ConfigError);
    CHECK(several.size() == 1 && eyes.size() == 1 && several[0] == t);
    CHECK_CODE(library->matchTemplates(t, t, score), ConfigError);
    CHECK(score == -1);
    vector<FRVT::IrisAnnulus> irises;
    CHECK_CODE(library->createIrisTemplate(vector<Image>(2, one[0]), TemplateRole::Enrollment_11, u,
                                           irises),
               NotImplemented);
    CHECK(!u.empty() && irises.size() == 2);

    const string nets = "detector = d.dmv\nembedder = e.dmv\n";
    wrong_config("", "detector is not set");
    wrong_config("# nothing\n\n  \t\r\ndetector = d.dmv", "embedder is not set");
    wrong_config("detector d.dmv", "domovoi.conf:1: \"key = value\"");
    wrong_config(nets + "detector = f.dmv", ":3: a second line for detector");
    wrong_config(nets + "\ncolour = red", ":4: there is no key \"colour\"");
    wrong_config("detector = ../d.dmv", "without a \"/\"");
    wrong_config("detector =", "must name a file");
    wrong_config(nets + "min_score = 1.5", "min_score must be");
    wrong_config(nets + "min_score = 0,5", "min_score must be");
    wrong_config(nets + "min_score = nan", "min_score must be");
    wrong_config(nets + "second_score = x", "second_score must be");
    wrong_config(nets + "min_score = 0.4\nsecond_score = 0.5", "above min_score");
    wrong_config(nets + "max_side = 0", "max_side must be");
    wrong_config(nets + "max_side = 640x", "max_side must be");
    wrong_config(nets + "scales = 9", "scales must be");
    wrong_config(nets + "mirror = 2", "mirror must be");
    wrong_config(nets + "max_faces = 0", "max_faces must be");
    wrong_config(nets + "max_faces = 99999999999", "max_faces must be");
    wrong_config(nets + "min_score = 0.1 # with a comment", "d.dmv"); // reaches the nets
    put("d.dmv", "not a net");
    wrong_config(nets, "d.dmv");
    // Whatever the file holds.
    string noise;
    unsigned seed = 1;
    for (int i = 0; i < 5000; i++) {
        seed = seed * 1664525 + 1013904223;
        noise += char(seed >> 24);
    }
    wrong_config(noise, "domovoi.conf");
    wrong_config(string(100000, 'a') + " = 1", "no key");
}

static void faces()
{
    const string models = string(getenv("DOMOVOI_BUILD")) + "/models/";
    for (const char *net : {"detect.dmv", "landmarks.dmv", "embed.dmv"}) {
        put(net, get(models + net));
    }
    const string conf = "detector = detect.dmv\nlandmarks = landmarks.dmv\nembedder = embed.dmv\n"
                        "min_score = 0.3\n";
    wrong_config("detector = embed.dmv\nembedder = embed.dmv", "another kind");
    wrong_config("detector = detect.dmv\nembedder = detect.dmv", "another kind");
    wrong_config("detector = detect.dmv\nembedder = embed.dmv", "landmark");
    string net = get(models + "embed.dmv");
    net[net.size() / 2] ^= 1;
    put("broken.dmv", net);
    wrong_config("detector = detect.dmv\nembedder = broken.dmv", "broken.dmv");
    put("broken.dmv", net.substr(0, net.size() / 2));
    wrong_config("detector = detect.dmv\nembedder = broken.dmv", "broken.dmv");

    const auto library = FRVT_11::Interface::getImplementation();
    const TemplateRole role = TemplateRole::Verification_11;
    put("domovoi.conf", "detector = nothing.dmv\nembedder = embed.dmv\n");
    CHECK_CODE(library->initialize(folder), ConfigError);
    put("domovoi.conf", conf);
    CHECK_CODE(library->initialize(folder), Success);
    CHECK_CODE(library->initialize(folder), Success); // a second time does no harm

    Template face, other, failed, t;
    vector<EyePair> eyes;
    vector<Template> several;
    double score = 0;
    const Image a = drawn_face(190), b = drawn_face(140), black = picture(300, 200, 24, 0);
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, a), role, face, eyes), Success);
    CHECK(face.size() > 1000 && eyes.size() == 1);
    CHECK(eyes[0].isLeftAssigned && eyes[0].isRightAssigned);
    CHECK(std::abs(eyes[0].xleft - 119) < 12 && std::abs(eyes[0].xright - 81) < 12);
    CHECK(std::abs(eyes[0].yleft - 92) < 12 && std::abs(eyes[0].yright - 92) < 12);
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, b), role, other, eyes), Success);
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, black), role, failed, eyes),
               FaceDetectionError);
    CHECK(!failed.empty() && failed.size() < 100 && eyes.size() == 1 && !eyes[0].isLeftAssigned);

    // Scores: the same both ways, 2 for the same template, less for another one, -1 for a failure.
    double back = 0;
    CHECK_CODE(library->matchTemplates(face, face, score), Success);
    CHECK(std::fabs(score - 2) < 1e-5);
    CHECK_CODE(library->matchTemplates(face, other, score), Success);
    CHECK_CODE(library->matchTemplates(other, face, back), Success);
    CHECK(score >= 0 && score < 2 - 1e-5 && score == back);
    CHECK_CODE(library->matchTemplates(face, failed, score), VerifTemplateError);
    CHECK(score == -1);
    score = 1;
    CHECK_CODE(library->matchTemplates(failed, face, score), VerifTemplateError);
    CHECK(score == -1);
    CHECK_CODE(library->matchTemplates(failed, failed, score), VerifTemplateError);
    CHECK_CODE(library->matchTemplates(Template(), face, score), VerifTemplateError);

    // Damaged templates: every byte of the head, every length.
    for (size_t i = 0; i < 32; i++) {
        t = face;
        t[i] ^= 0x55;
        score = 1;
        const ReturnStatus s = library->matchTemplates(t, face, score);
        if (i != 6 && i != 7 && i < 12) { // the number of pictures is only told
            CHECK(s.code == ReturnCode::TemplateFormatError && score == -1);
        }
        if (i >= 16) {
            CHECK(s.code == ReturnCode::TemplateFormatError && score == -1); // another net
        }
    }
    for (size_t n = 1; n < face.size() + 4; n++) {
        t = face;
        t.resize(n, 0);
        if (n != face.size()) {
            CHECK_CODE(library->matchTemplates(face, t, score), TemplateFormatError);
            CHECK(score == -1);
        }
    }
    for (const float v :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        t = face;
        memcpy(t.data() + 64, &v, sizeof(v));
        CHECK_CODE(library->matchTemplates(t, face, score), TemplateFormatError);
        CHECK(score == -1);
    }

    // Pictures.
    Image wrong = picture(50, 50, 16, 0), none = picture(50, 50, 24, 0),
          flat = picture(0, 50, 8, 0), grey = picture(200, 200, 8, 0),
          wide = picture(40000, 1, 8, 0);
    none.data.reset();
    for (int i = 0; i < 200 * 200; i++) {
        grey.data.get()[i] = a.data.get()[3 * i];
    }
    for (const Image &x : {wrong, none, flat}) {
        CHECK_CODE(library->createFaceTemplate(vector<Image>(1, x), role, t, eyes), ParseError);
        CHECK(t == failed && eyes.size() == 1);
        CHECK_CODE(library->createFaceTemplate(x, role, several, eyes), ParseError);
        CHECK(several.size() == 1 && several[0] == failed && eyes.size() == 1);
    }
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, wide), role, t, eyes), RefuseInput);
    CHECK_CODE(library->createFaceTemplate(vector<Image>(), role, t, eyes), NumDataError);
    CHECK(t == failed && eyes.empty());
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, grey), role, t, eyes), Success);
    CHECK_CODE(library->matchTemplates(t, face, score), Success);
    CHECK(score > 1.2);

    // Several pictures of one person: what fails does not spoil the rest.
    CHECK_CODE(library->createFaceTemplate({wrong, a, black}, role, t, eyes), Success);
    CHECK(eyes.size() == 3 && !eyes[0].isLeftAssigned && eyes[1].isLeftAssigned &&
          !eyes[2].isLeftAssigned);
    CHECK_CODE(library->matchTemplates(t, face, score), Success);
    CHECK(std::fabs(score - 2) < 1e-5);
    CHECK_CODE(library->createFaceTemplate({black, wrong}, role, t, eyes), FaceDetectionError);
    CHECK_CODE(library->createFaceTemplate({wrong, black}, role, t, eyes), ParseError);
    CHECK_CODE(library->createFaceTemplate({a, b}, role, t, eyes), Success);
    double to_a = 0, to_b = 0;
    CHECK_CODE(library->matchTemplates(t, face, to_a), Success);
    CHECK_CODE(library->matchTemplates(t, other, to_b), Success);
    CHECK(to_a > score - 2 && std::fabs(to_a - to_b) < 1e-4); // the mean is as near to both

    // Two people in one picture.
    Image pair = picture(400, 200, 24, 0);
    for (int y = 0; y < 200; y++) {
        memcpy(pair.data.get() + 1200 * y, a.data.get() + 600 * y, 600);
        memcpy(pair.data.get() + 1200 * y + 600, b.data.get() + 600 * y, 600);
    }
    CHECK_CODE(library->createFaceTemplate(pair, role, several, eyes), Success);
    CHECK(several.size() == 2 && eyes.size() == 2);
    CHECK((eyes[0].xleft < 200) != (eyes[1].xleft < 200));
    CHECK_CODE(library->createFaceTemplate(black, role, several, eyes), FaceDetectionError);
    CHECK(several.size() == 1 && several[0] == failed && eyes.size() == 1);

    // Memory: each allocation of C++ fails in turn. No call throws; what cannot be done says so.
    int stages[3] = {0, 0, 0};
    for (int what = 0; what < 3; what++) {
        bool done = false;
        for (int n = 0; n < 2000 && !done; n++) {
            const vector<Image> images(1, a);
            ReturnStatus s;
            try {
                Template u;
                vector<Template> us;
                vector<EyePair> es;
                allocations_left = n;
                s = what == 0   ? library->createFaceTemplate(images, role, u, es)
                    : what == 1 ? library->createFaceTemplate(pair, role, us, es)
                                : library->initialize(folder);
                allocations_left = -1;
                if (s.code == ReturnCode::Success) {
                    done = true;
                    CHECK(what == 2 || (what ? us.size() == 2 : u == face));
                } else {
                    stages[what]++;
                    CHECK(s.code == ReturnCode::MemoryError || what == 2);
                }
                // Whatever came out can be matched.
                const ReturnCode m = library->matchTemplates(u, u, score).code;
                CHECK(m == (what == 0 && done    ? ReturnCode::Success
                            : what == 2 && !done ? ReturnCode::ConfigError
                                                 : ReturnCode::VerifTemplateError));
            } catch (...) {
                allocations_left = -1;
                CHECK(!"an exception left the library");
                done = true;
            }
        }
        CHECK(done);
        CHECK(stages[what] > 0);
    }
    CHECK_CODE(library->initialize(folder), Success);
    CHECK_CODE(library->createFaceTemplate(vector<Image>(1, a), role, t, eyes), Success);
    CHECK(t == face);
}

int main(int argc, char **argv)
{
    char name[] = "/tmp/domovoi-frte-XXXXXX";
    const bool nets = argc > 1 && !strcmp(argv[1], "faces");
    const char *build = getenv("DOMOVOI_BUILD");
    if (nets) {
        for (const char *net : {"detect.dmv", "landmarks.dmv", "embed.dmv"}) {
            const string path = string(build ? build : ".") + "/models/" + net;
            if (access(path.c_str(), R_OK)) {
                printf("skipped: %s is not there\n", path.c_str());
                return 77;
            }
        }
    }
    if (!mkdtemp(name)) {
        perror(name);
        return 1;
    }
    folder = name;
    nets ? faces() : config();
    for (const char *file :
         {"detect.dmv", "landmarks.dmv", "embed.dmv", "broken.dmv", "d.dmv", "domovoi.conf"}) {
        unlink((folder + "/" + file).c_str());
    }
    rmdir(name);
    printf("%d failures\n", failures);
    return failures != 0;
}
