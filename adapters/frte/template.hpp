// SPDX-License-Identifier: Apache-2.0
//
// template.hpp - the bytes of a template. Numbers in the order of the machine: a template does
// not leave the machine that made it.
//
//      0  "DMVF"
//      4  u8   version, 1
//      5  u8   1 = a face, 0 = failed
//      6  u16  pictures it was made from
//      8  u32  floats that follow, 0 if failed
//     12  u32  0
//     16  16 bytes, id of the embedder
//     32  floats, a vector of unit length
//
// A failed template is the head alone, so it is never empty.
#ifndef DOMOVOI_FRTE_TEMPLATE_HPP
#define DOMOVOI_FRTE_TEMPLATE_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#pragma GCC visibility push(hidden)
namespace frte
{

enum { HEAD = 32, ID = 16 };
enum class Kind { Face, Failed, Damaged, OtherModel };

inline void write_head(uint8_t *t, bool face, size_t pictures, uint32_t dim, const uint8_t id[ID])
{
    const uint16_t n = uint16_t(std::min<size_t>(pictures, 65535));
    std::memset(t, 0, HEAD);
    std::memcpy(t, "DMVF", 4);
    t[4] = 1;
    t[5] = face;
    std::memcpy(t + 6, &n, 2);
    std::memcpy(t + 8, &dim, 4);
    std::memcpy(t + 16, id, ID);
}

inline void write_failed(std::vector<uint8_t> &t, const uint8_t id[ID])
{
    t.resize(HEAD);
    write_head(t.data(), false, 0, 0, id);
}

// May throw std::bad_alloc, then t is as it was.
inline void write_face(std::vector<uint8_t> &t, const float *v, size_t dim, size_t pictures,
                       const uint8_t id[ID])
{
    t.resize(HEAD + dim * sizeof(float));
    write_head(t.data(), true, pictures, uint32_t(dim), id);
    std::memcpy(t.data() + HEAD, v, dim * sizeof(float));
}

// Copies the vector to v (room for dim floats) if it is a face of this model.
inline Kind read(const std::vector<uint8_t> &t, const uint8_t id[ID], size_t dim, float *v)
{
    uint32_t n;
    if (t.empty()) {
        return Kind::Failed; // a caller that keeps nothing of what failed
    }
    if (t.size() < HEAD || std::memcmp(t.data(), "DMVF\1", 5) || t[5] > 1) {
        return Kind::Damaged;
    }
    std::memcpy(&n, t.data() + 8, 4);
    if (t.size() != HEAD + size_t(n) * sizeof(float) || (n != 0) != (t[5] == 1)) {
        return Kind::Damaged;
    }
    if (!n) {
        return Kind::Failed;
    }
    if (n != dim || std::memcmp(t.data() + 16, id, ID)) {
        return Kind::OtherModel;
    }
    std::memcpy(v, t.data() + HEAD, dim * sizeof(float));
    bool good = true;
    for (size_t i = 0; i < dim; i++) {
        good &= std::isfinite(v[i]);
    }
    return good ? Kind::Face : Kind::Damaged;
}

} // namespace frte
#pragma GCC visibility pop

#endif
