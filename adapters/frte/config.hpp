// SPDX-License-Identifier: Apache-2.0
//
// config.hpp - what the configuration folder says. It holds the nets and domovoi.conf: lines of
// "key = value", # starts a comment. Nets are named without a folder, so that the folder may be
// moved.
#ifndef DOMOVOI_FRTE_CONFIG_HPP
#define DOMOVOI_FRTE_CONFIG_HPP

#include <string>

#pragma GCC visibility push(hidden)
namespace frte
{

struct Config {
    std::string detector, landmarks, embedder; // paths; landmarks may be empty
    float min_score = 0.6f;                    // of a face
    // Of the best face, where none reaches min_score; <= min_score. Low, because NIST's pictures
    // show a person and a missing template counts as a wrong refusal: of the profiles that 0.6
    // misses, 0.15 finds nine of ten. Blank pictures stay without a face, noise may not.
    float second_score = 0.15f;
    int max_side = 640;
    int scales = 1;
    int mirror = 0;
    int max_faces = 64; // templates of a picture with several people
};

// false: error has file, line and remedy.
bool read_config(const std::string &folder, Config &out, std::string &error);

} // namespace frte
#pragma GCC visibility pop

#endif
