// SPDX-License-Identifier: Apache-2.0
//
// harness.cpp - frte-check: runs a library of NIST's FRTE 1:1 interface as NIST's own validation
// does and checks what NIST checks, and some more. Works with any library of the interface.
//
// Each stage is a process of its own (the driver) that initialises the library and then forks
// the children, which share the lines of an input file. What the library prints goes to a file,
// which must stay empty. A child writes one line a call to the log, as NIST's driver does, with
// the time added at the end, and what it finds wrong to a second file. The parent joins the files
// and judges. No library can take it down: it never calls one itself.
#include <frvt11.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using FRVT::EyePair;
using FRVT::Image;
using FRVT::ReturnCode;
using FRVT::ReturnStatus;
using FRVT::TemplateRole;
using std::string;
using std::vector;

namespace
{

const double TEMPLATE_MS = 1500; // of a picture
const double MATCH_MS = 0.1;
const unsigned HANG_S = 120; // a call that takes longer is killed

typedef std::shared_ptr<FRVT_11::Interface> Library;
typedef vector<string> Words;
typedef vector<uint8_t> Template;
enum class Task { Enroll, Verify, Several, Match };

[[noreturn]] void give_up(const string &why)
{
    fprintf(stderr, "frte-check: %s\n", why.c_str());
    exit(2);
}

// ---- files ----

vector<Words> read_lines(const string &path, bool wanted)
{
    std::ifstream in(path);
    if (!in && wanted) {
        give_up(path + ": cannot be read; INPUT must hold enroll.txt, verif.txt and match.txt");
    }
    vector<Words> lines;
    for (string line; std::getline(in, line);) {
        std::istringstream words(line);
        Words w;
        for (string s; words >> s;) {
            w.push_back(s);
        }
        if (!w.empty()) {
            lines.push_back(w);
        }
    }
    if (lines.empty() && wanted) {
        give_up(path + ": has no lines");
    }
    return lines;
}

// Next number of a PNM header; -1 if there is none.
int pnm_number(std::istream &in)
{
    int c = in.get();
    while (isspace(c) || c == '#') {
        if (c == '#') {
            string comment;
            std::getline(in, comment);
        }
        c = in.get();
    }
    if (!isdigit(c)) {
        return -1;
    }
    int v = 0;
    for (; isdigit(c) && v < 100000; c = in.get()) {
        v = 10 * v + c - '0';
    }
    return isspace(c) ? v : -1;
}

// Binary PPM (RGB) or PGM (grey), 8 bits.
bool read_image(const string &path, Image &image)
{
    std::ifstream in(path, std::ios::binary);
    const int p = in.get(), kind = in.get();
    if (p != 'P' || (kind != '5' && kind != '6')) {
        return false;
    }
    const int w = pnm_number(in), h = pnm_number(in), top = pnm_number(in);
    if (w < 1 || h < 1 || w > 65535 || h > 65535 || top != 255) {
        return false;
    }
    image.width = uint16_t(w);
    image.height = uint16_t(h);
    image.depth = kind == '6' ? 24 : 8;
    const size_t size = size_t(w) * size_t(h) * (image.depth / 8);
    image.data.reset(new uint8_t[size], std::default_delete<uint8_t[]>());
    in.read(reinterpret_cast<char *>(image.data.get()), std::streamsize(size));
    return size_t(in.gcount()) == size;
}

bool read_bytes(const string &path, Template &t)
{
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        return false;
    }
    t.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    return true;
}

void make_folder(const string &path)
{
    if (mkdir(path.c_str(), 0777) && errno != EEXIST) {
        give_up(path + ": " + strerror(errno));
    }
}

// ---- what a child does ----

int threads()
{
    int n = 0;
    if (DIR *d = opendir("/proc/self/task")) {
        while (const dirent *e = readdir(d)) {
            n += e->d_name[0] != '.';
        }
        closedir(d);
    }
    return n;
}

struct Child {
    Library library;
    Task task;
    string templates; // folder
    std::ofstream log, problems;
    bool many_threads;

    void problem(const string &id, const string &what)
    {
        problems << id << ": " << what << '\n';
    }

    // Runs a call of the library; milliseconds.
    double call(const string &id, ReturnStatus &s, const std::function<ReturnStatus()> &f)
    {
        alarm(HANG_S);
        const auto begin = std::chrono::steady_clock::now();
        try {
            s = f();
        } catch (...) {
            problem(id, "an exception left the library");
        }
        const auto end = std::chrono::steady_clock::now();
        alarm(0);
        if (threads() > 1 && !many_threads) {
            many_threads = true;
            problem(id, "the library runs threads");
        }
        return std::chrono::duration<double, std::milli>(end - begin).count();
    }

    void row(const string &id, const string &path, size_t size, const ReturnStatus &s,
             const EyePair &e, double ms)
    {
        log << id << ' ' << path << ' ' << size << ' ' << int(s.code) << ' ' << e.isLeftAssigned
            << ' ' << e.isRightAssigned << ' ' << e.xleft << ' ' << e.yleft << ' ' << e.xright
            << ' ' << e.yright << ' ' << ms << '\n';
    }

    void check_eyes(const string &id, const Image &image, const ReturnStatus &s, const EyePair &e)
    {
        if ((e.isLeftAssigned && (e.xleft >= image.width || e.yleft >= image.height)) ||
            (e.isRightAssigned && (e.xright >= image.width || e.yright >= image.height))) {
            problem(id, "an eye lies outside the picture");
        }
        if (s.code != ReturnCode::Success && (e.isLeftAssigned || e.isRightAssigned)) {
            problem(id, "eyes of a picture that failed");
        }
    }

    void keep(const string &name, const Template &t)
    {
        std::ofstream out(templates + "/" + name, std::ios::binary);
        out.write(reinterpret_cast<const char *>(t.data()), std::streamsize(t.size()));
        if (!out) {
            problem(name, "cannot be written");
        }
        if (t.empty()) {
            problem(name, "an empty template");
        }
    }

    void create(const Words &w)
    {
        const string &id = w[0];
        const TemplateRole role =
            task == Task::Enroll ? TemplateRole::Enrollment_11 : TemplateRole::Verification_11;
        vector<Image> images;
        for (size_t i = 1; i < w.size(); i += 2) {
            images.emplace_back();
            if (!read_image(w[i], images.back())) {
                problem(w[i], "is not a binary PPM or PGM file of 8 bits");
                return;
            }
        }
        ReturnStatus s;
        vector<EyePair> eyes;
        if (task == Task::Several) {
            vector<Template> t;
            const double ms =
                call(id, s, [&] { return library->createFaceTemplate(images[0], role, t, eyes); });
            if (t.empty() || t.size() != eyes.size()) {
                problem(id, "as many templates as pairs of eyes are wanted, at least one");
            }
            for (size_t i = 0; i < std::min(t.size(), eyes.size()); i++) {
                keep(id + "." + std::to_string(i) + ".template", t[i]);
                check_eyes(id, images[0], s, eyes[i]);
                row(id, w[1], t[i].size(), s, eyes[i], ms);
            }
            return;
        }
        Template t;
        const double ms =
            call(id, s, [&] { return library->createFaceTemplate(images, role, t, eyes); });
        keep(id + ".template", t);
        if (eyes.size() != images.size()) {
            problem(id, "one pair of eyes a picture is wanted");
        }
        for (size_t i = 0; i < std::min(images.size(), eyes.size()); i++) {
            check_eyes(id, images[i], s, eyes[i]);
        }
        row(id, w[1], t.size(), s, eyes.empty() ? EyePair() : eyes[0], ms / double(images.size()));
    }

    void match(const Words &w)
    {
        Template enroll, verif;
        if (!read_bytes(templates + "/" + w[0], enroll) ||
            !read_bytes(templates + "/" + w[1], verif)) {
            problem(w[0] + " " + w[1], "is not there; match.txt names ID.template of both files");
            return;
        }
        double score = -1;
        ReturnStatus s;
        const double ms =
            call(w[0], s, [&] { return library->matchTemplates(verif, enroll, score); });
        log << w[0] << ' ' << w[1] << ' ' << score << ' ' << int(s.code) << ' ' << ms << '\n';
    }
};

// ---- a stage ----

struct Stage {
    string config, out, name; // of the log: enroll, verif, several, match
    Task task;
    int forks;
};

string part(const Stage &g, const char *kind, int k)
{
    return g.out + "/" + g.name + "." + kind + "." + std::to_string(k);
}

// Everything printed from here on goes to the file.
void redirect(const string &path)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) {
        _exit(3);
    }
    close(fd);
}

[[noreturn]] void leave(int code)
{
    fflush(nullptr); // what the library left in its buffers
    _exit(code);
}

[[noreturn]] void child(const Stage &g, Library library, const vector<Words> &lines, int k)
{
    const size_t n = lines.size(), forks = size_t(g.forks);
    redirect(part(g, "said", k));
    Child c{library, g.task, g.out + "/templates", {}, {}, false};
    c.log.open(part(g, "log", k));
    c.log.precision(g.task == Task::Match ? 17 : 6);
    c.problems.open(part(g, "problems", k));
    for (size_t i = n * size_t(k) / forks; i < n * size_t(k + 1) / forks; i++) {
        if (g.task == Task::Match) {
            c.match(lines[i]);
        } else {
            c.create(lines[i]);
        }
    }
    c.log.close();
    c.problems.close();
    leave(c.log && c.problems ? 0 : 3);
}

[[noreturn]] void driver(const Stage &g, const vector<Words> &lines)
{
    std::ofstream problems(part(g, "problems", g.forks));
    redirect(part(g, "said", g.forks));
    Library library;
    ReturnStatus s;
    alarm(HANG_S);
    try {
        library = FRVT_11::Interface::getImplementation();
        if (library) {
            s = library->initialize(g.config);
        }
    } catch (...) {
        problems << "initialize: an exception left the library\n";
        problems.close();
        leave(1);
    }
    alarm(0);
    if (!library || s.code != ReturnCode::Success) {
        problems << "initialize: return code " << int(s.code) << " " << s.info << '\n';
        problems.close();
        leave(1);
    }
    if (threads() > 1) {
        problems << "initialize: the library runs threads, which a fork leaves behind\n";
    }
    problems.close();
    fflush(nullptr);
    int bad = 0;
    vector<pid_t> children;
    for (int k = 0; k < g.forks; k++) {
        const pid_t pid = fork();
        if (pid == 0) {
            child(g, library, lines, k);
        }
        if (pid < 0) {
            bad = 3;
        } else {
            children.push_back(pid);
        }
    }
    for (const pid_t pid : children) {
        int st = 0;
        waitpid(pid, &st, 0);
        if (WIFSIGNALED(st)) {
            std::ofstream more(part(g, "problems", g.forks), std::ios::app);
            more << "a child was killed by signal " << WTERMSIG(st)
                 << (WTERMSIG(st) == SIGALRM ? " (a call did not return)" : "") << '\n';
            bad = std::max(bad, 1);
        } else if (WEXITSTATUS(st)) {
            bad = std::max(bad, WEXITSTATUS(st));
        }
    }
    leave(bad);
}

// ---- judging ----

int failures, warnings;

void say(const char *verdict, const Stage &g, const string &what)
{
    printf("%-4s  %s: %s\n", verdict, g.name.c_str(), what.c_str());
    fflush(stdout);
}

void check(bool good, const Stage &g, const string &what)
{
    failures += !good;
    say(good ? "ok" : "FAIL", g, what);
}

string join(const Stage &g, const char *kind, const string &head)
{
    std::ostringstream all;
    for (int k = 0; k <= g.forks; k++) {
        const string path = part(g, kind, k);
        std::ifstream in(path);
        for (string line; std::getline(in, line);) {
            all << line << '\n';
        }
        in.close();
        unlink(path.c_str());
    }
    if (!head.empty()) {
        std::ofstream out(g.out + "/" + g.name + "." + kind);
        out << head << '\n' << all.str();
        if (!out.flush()) {
            give_up(g.out + "/" + g.name + "." + kind + ": cannot be written");
        }
    }
    return all.str();
}

string number(double v)
{
    char s[32];
    snprintf(s, sizeof(s), "%.4g", v);
    return s;
}

// Median and longest; sorts v.
string times(vector<double> &v)
{
    std::sort(v.begin(), v.end());
    return v.empty() ? "none"
                     : number(v[v.size() / 2]) + " ms, longest " + number(v.back()) + " ms";
}

// Runs the stage and tells of all that does not depend on the task; the lines of the log.
vector<Words> run(const Stage &g, const vector<Words> &lines)
{
    fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) {
        give_up("cannot fork");
    }
    if (pid == 0) {
        driver(g, lines);
    }
    int st = 0;
    waitpid(pid, &st, 0);
    if (WIFEXITED(st) && WEXITSTATUS(st) == 3) {
        give_up(g.out + ": logs cannot be written");
    }
    check(WIFEXITED(st) && WEXITSTATUS(st) == 0, g,
          std::to_string(g.forks) + (g.forks == 1 ? " process" : " processes") +
              " came to the end");
    std::istringstream problems(join(g, "problems", ""));
    for (string line; std::getline(problems, line);) {
        check(false, g, line);
    }
    const string said = join(g, "said", "");
    check(said.empty(), g,
          said.empty() ? "the library printed nothing"
                       : "the library printed: " + said.substr(0, 200));
    std::istringstream log(join(g, "log",
                                g.task == Task::Match
                                    ? "enrollTempl verifTempl simScore returnCode milliseconds"
                                    : "id image templateSizeBytes returnCode isLeftEyeAssigned "
                                      "isRightEyeAssigned xleft yleft xright yright milliseconds"));
    vector<Words> rows;
    for (string line; std::getline(log, line);) {
        std::istringstream words(line);
        Words w;
        for (string s; words >> s;) {
            w.push_back(s);
        }
        rows.push_back(w);
    }
    std::set<string> ids;
    for (const Words &w : rows) {
        ids.insert(w[0]);
    }
    const size_t got = g.task == Task::Several ? ids.size() : rows.size();
    check(got == lines.size(), g,
          std::to_string(lines.size()) + " lines in, " + std::to_string(got) + " lines out");
    return rows;
}

typedef std::map<string, int> Codes; // by template file

void create_stage(const Stage &g, const vector<Words> &lines, Codes &codes)
{
    const vector<Words> rows = run(g, lines);
    vector<double> ms;
    std::map<int, int> bad;
    string failed;
    size_t n_failed = 0;
    std::map<string, int> index; // of the next template of a picture
    for (const Words &w : rows) {
        const int code = atoi(w[3].c_str());
        ms.push_back(atof(w[10].c_str()));
        const string file =
            g.task == Task::Several ? w[0] + "." + std::to_string(index[w[0]]++) : w[0];
        codes[file + ".template"] = code;
        if (code) {
            bad[code]++;
            if (n_failed++ < 10) {
                failed += " " + w[0];
            }
        } else if (w[4] != "1" || w[5] != "1") {
            warnings++;
            say("WARN", g, w[0] + ": a face without both eyes");
        }
    }
    for (const auto &b : bad) {
        if (b.first == int(ReturnCode::NotImplemented)) {
            check(false, g, "the function is not implemented");
            return;
        }
        warnings++;
        say("WARN", g, std::to_string(b.second) + " times return code " + std::to_string(b.first));
    }
    if (!failed.empty()) {
        say("    ", g, "failed:" + failed + (n_failed > 10 ? " ... (see the log)" : ""));
    }
    const string t = times(ms); // sorts
    check(ms.empty() || ms.back() <= TEMPLATE_MS, g,
          "time of a template " + t + ", at most " + number(TEMPLATE_MS) + " ms");
}

void match_stage(const Stage &g, const vector<Words> &lines, const Codes &codes)
{
    const vector<Words> rows = run(g, lines);
    vector<double> ms;
    std::set<double> scores;
    size_t good = 0, failed = 0, wrong = 0;
    for (const Words &w : rows) {
        const double score = atof(w[2].c_str());
        const int code = atoi(w[3].c_str());
        bool fails = false;
        for (int i = 0; i < 2; i++) {
            const auto c = codes.find(w[size_t(i)]);
            fails = fails || (c != codes.end() && c->second);
        }
        ms.push_back(atof(w[4].c_str()));
        bool fine;
        if (fails) {
            failed++;
            fine = score == -1 && code == int(ReturnCode::VerifTemplateError);
        } else {
            good++;
            scores.insert(score);
            fine = score >= 0 && std::isfinite(score) && code == 0;
        }
        if (!fine && ++wrong <= 5) {
            say("    ", g,
                w[0] + " " + w[1] + ": score " + w[2] + ", return code " + w[3] +
                    (fails ? "; one template failed, so -1 and 7 are wanted"
                           : "; 0 or more and 0 are wanted"));
        }
    }
    check(!wrong, g,
          std::to_string(good) + " scores of faces, " + std::to_string(failed) +
              " of failed templates, " + std::to_string(wrong) + " wrong");
    check(2 * scores.size() >= good, g,
          std::to_string(scores.size()) + " different scores in " + std::to_string(good) +
              ", at least half");
    const string t = times(ms);
    check(ms.empty() || ms[ms.size() / 2] <= MATCH_MS, g,
          "time of a match " + t + ", at most " + number(MATCH_MS) + " ms for the median");
}

void check_lines(const string &path, const vector<Words> &lines, Task task)
{
    std::set<string> ids;
    for (size_t i = 0; i < lines.size(); i++) {
        const Words &w = lines[i];
        const bool form = task == Task::Match     ? w.size() == 2
                          : task == Task::Several ? w.size() == 3
                                                  : w.size() >= 3 && w.size() % 2;
        if (!form || (task != Task::Match && w[0].find('/') != string::npos)) {
            give_up(path + ", entry " + std::to_string(i + 1) + ": wanted is " +
                    (task == Task::Match     ? "ENROL.template VERIF.template"
                     : task == Task::Several ? "ID PICTURE KIND"
                                             : "ID PICTURE KIND [PICTURE KIND ...]"));
        }
        if (task != Task::Match && !ids.insert(w[0]).second) {
            give_up(path + ": two entries for " + w[0]);
        }
    }
}

void compare(const Stage &g, const Stage &reference, const vector<Words> &lines)
{
    size_t differ = 0;
    for (const Words &w : lines) {
        Template a, b;
        const string name = "/templates/" + w[0] + ".template";
        differ += !read_bytes(g.out + name, a) || !read_bytes(reference.out + name, b) || a != b;
    }
    check(!differ, g,
          std::to_string(differ) + " of " + std::to_string(lines.size()) +
              " templates differ from those of one process");
}

void usage(FILE *f)
{
    fputs("usage: frte-check [--forks N] [--keep-place] CONFIG INPUT OUT\n\n"
          "Runs the library as NIST's validation of FRTE 1:1 does and checks what it checks.\n\n"
          "  CONFIG        configuration folder of the library; is renamed for a moment, to see\n"
          "                that its place is not built in\n"
          "  INPUT         folder of enroll.txt and verif.txt (ID PICTURE KIND a line), match.txt\n"
          "                (ENROL.template VERIF.template) and, for pictures of several people,\n"
          "                several.txt; pictures are binary PPM or PGM, from the current folder\n"
          "  OUT           a new folder for templates and logs\n"
          "  --forks N     processes, 1 to 64; default 4\n"
          "  --keep-place  do not rename CONFIG\n\n"
          "Exit status: 0 all is well, 1 a check failed, 2 error.\n",
          f);
}

} // namespace

int main(int argc, char **argv)
{
    int forks = 4, i = 1;
    bool move = true;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const string a = argv[i];
        if (a == "--help") {
            usage(stdout);
            return 0;
        }
        if (a == "--keep-place") {
            move = false;
        } else if (a == "--forks" && i + 1 < argc) {
            forks = atoi(argv[++i]);
            if (forks < 1 || forks > 64) {
                give_up("--forks must be 1 to 64");
            }
        } else {
            usage(stderr);
            return 2;
        }
    }
    if (argc - i != 3) {
        usage(stderr);
        return 2;
    }
    string config = argv[i];
    const string input = argv[i + 1], out = argv[i + 2];
    while (config.size() > 1 && config.back() == '/') {
        config.pop_back();
    }
    struct stat st;
    if (stat(config.c_str(), &st) || !S_ISDIR(st.st_mode)) {
        give_up(config + ": is not a folder");
    }
    const vector<Words> enroll = read_lines(input + "/enroll.txt", true),
                        verif = read_lines(input + "/verif.txt", true),
                        several = read_lines(input + "/several.txt", false),
                        match = read_lines(input + "/match.txt", true);
    check_lines(input + "/enroll.txt", enroll, Task::Enroll);
    check_lines(input + "/verif.txt", verif, Task::Verify);
    check_lines(input + "/several.txt", several, Task::Several);
    check_lines(input + "/match.txt", match, Task::Match);
    if (mkdir(out.c_str(), 0777)) {
        give_up(out + ": " + strerror(errno) + "; OUT must be a new folder");
    }
    for (const char *sub : {"/moved", "/one", "/moved/templates", "/one/templates", "/templates"}) {
        make_folder(out + sub);
    }
    printf("interface %d.%d, structures %d.%d\n", FRVT_11::API_MAJOR_VERSION,
           FRVT_11::API_MINOR_VERSION, FRVT::FRVT_STRUCTS_MAJOR_VERSION,
           FRVT::FRVT_STRUCTS_MINOR_VERSION);

    Codes codes, unused;
    const Stage one = {config, out + "/one", "enroll-one", Task::Enroll, 1};
    create_stage(one, enroll, unused);
    if (move) {
        const string other = config + ".moved";
        if (!stat(other.c_str(), &st) || rename(config.c_str(), other.c_str())) {
            give_up(config + ": cannot be renamed to " + other + "; --keep-place leaves it");
        }
        const Stage moved = {other, out + "/moved", "enroll-moved", Task::Enroll, 1};
        const vector<Words> few(enroll.begin(),
                                enroll.begin() + long(std::min<size_t>(enroll.size(), 4)));
        create_stage(moved, few, unused);
        if (rename(other.c_str(), config.c_str())) {
            give_up(other + ": cannot be renamed back");
        }
        compare(moved, one, few);
    }
    const Stage e = {config, out, "enroll", Task::Enroll, forks};
    create_stage(e, enroll, codes);
    compare(e, one, enroll);
    create_stage({config, out, "verif", Task::Verify, forks}, verif, codes);
    if (!several.empty()) {
        create_stage({config, out, "several", Task::Several, forks}, several, codes);
    }
    match_stage({config, out, "match", Task::Match, forks}, match, codes);
    printf("%s: %d failed, %d warnings\n", failures ? "not ready" : "ready", failures, warnings);
    return failures ? 1 : 0;
}
