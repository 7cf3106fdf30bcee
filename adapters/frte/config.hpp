// SPDX-License-Identifier: Apache-2.0
//
// config.hpp - what the configuration folder says. It holds the nets and domovoi.conf: lines of
// "key = value", # starts a comment. Nets are named without a folder, so that the folder may be
// moved.
#ifndef DOMOVOI_FRTE_CONFIG_HPP
#define DOMOVOI_FRTE_CONFIG_HPP

#include <string>

namespace frte __attribute__((visibility("hidden")))
{

    struct Config {
        std::string detector, landmarks, embedder; // paths; landmarks may be empty
        float min_score = 0.6f;                    // of a face
        float second_score = 0.3f; // of the best face, where none reaches min_score; <= min_score
        int max_side = 640;
        int scales = 1;
        int mirror = 0;
        int max_faces = 64; // templates of a picture with several people
    };

    // false: error has file, line and remedy.
    bool read_config(const std::string &folder, Config &out, std::string &error);

} // namespace )

#endif
