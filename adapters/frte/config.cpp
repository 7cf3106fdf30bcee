// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <fstream>
#include <locale>
#include <set>
#include <sstream>

namespace frte
{

static std::string trim(const std::string &s)
{
    const char *blanks = " \t\r";
    const size_t a = s.find_first_not_of(blanks);
    return a == std::string::npos ? "" : s.substr(a, s.find_last_not_of(blanks) - a + 1);
}

// The whole text as a number of the range; the caller's locale does not matter.
template <typename T> static bool number(const std::string &text, T lo, T hi, T &out)
{
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    T v;
    if (!(in >> v) || in.peek() != std::istringstream::traits_type::eof() ||
        !(v >= lo && v <= hi)) {
        return false;
    }
    out = v;
    return true;
}

// Empty = taken, otherwise what is wrong.
static std::string set(Config &c, const std::string &folder, const std::string &key,
                       const std::string &value)
{
    std::string *net = key == "detector"    ? &c.detector
                       : key == "landmarks" ? &c.landmarks
                       : key == "embedder"  ? &c.embedder
                                            : nullptr;
    if (net) {
        if (value.empty() || value.find('/') != std::string::npos) {
            return key + " must name a file of this folder, without a \"/\"";
        }
        *net = folder + "/" + value;
        return "";
    }
    if (key == "min_score") {
        return number(value, 0.0f, 1.0f, c.min_score) ? "" : "min_score must be 0 to 1";
    }
    if (key == "second_score") {
        return number(value, 0.0f, 1.0f, c.second_score) ? "" : "second_score must be 0 to 1";
    }
    if (key == "max_side") {
        return number(value, 32, 8192, c.max_side) ? "" : "max_side must be 32 to 8192";
    }
    if (key == "scales") {
        return number(value, 1, 5, c.scales) ? "" : "scales must be 1 to 5";
    }
    if (key == "mirror") {
        return number(value, 0, 1, c.mirror) ? "" : "mirror must be 0 or 1";
    }
    if (key == "max_faces") {
        return number(value, 1, 1000, c.max_faces) ? "" : "max_faces must be 1 to 1000";
    }
    return "there is no key \"" + key.substr(0, 40) +
           "\"; known: detector landmarks embedder min_score second_score max_side scales mirror "
           "max_faces";
}

bool read_config(const std::string &folder, Config &out, std::string &error)
{
    const std::string path = folder + "/domovoi.conf";
    std::ifstream file(path);
    if (!file) {
        error = path + " cannot be read; the configuration folder must hold it";
        return false;
    }
    Config c;
    std::set<std::string> seen;
    std::string line;
    for (int n = 1; std::getline(file, line); n++) {
        const std::string text = trim(line.substr(0, line.find('#')));
        if (text.empty()) {
            continue;
        }
        const size_t eq = text.find('=');
        const std::string key = trim(text.substr(0, eq));
        std::string wrong = eq == std::string::npos ? "\"key = value\" is wanted"
                            : !seen.insert(key).second
                                ? "a second line for " + key.substr(0, 40)
                                : set(c, folder, key, trim(text.substr(eq + 1)));
        if (!wrong.empty()) {
            error = path + ":" + std::to_string(n) + ": " + wrong;
            return false;
        }
    }
    if (file.bad()) {
        error = path + " cannot be read to its end";
        return false;
    }
    if (c.detector.empty() || c.embedder.empty()) {
        error = path + ": " + (c.detector.empty() ? "detector" : "embedder") + " is not set";
        return false;
    }
    if (!seen.count("second_score") && c.second_score > c.min_score) {
        c.second_score = c.min_score;
    }
    if (c.second_score > c.min_score) {
        error = path + ": second_score is above min_score";
        return false;
    }
    out = c;
    return true;
}

} // namespace frte
