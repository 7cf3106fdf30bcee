// SPDX-License-Identifier: Apache-2.0
//
// frte.cpp - NIST's FRTE 1:1 interface, version 6, on the public functions of the device library.
//
// NIST calls initialize() once, forks, and each child makes templates or matches them. So
// everything is opened in initialize() with one thread: nets are mapped and shared by the
// children, and no thread is lost in a fork. Nothing is printed and nothing is thrown: what
// happened is in the return code, in words in its info.
//
// Rules of the interface that shape this file:
// - A template is written in all cases; one of a picture without a face says so inside, and a
//   match with it is -1 and VerifTemplateError.
// - Scores are 0 or more: 1 + cosine.
// - The left eye is the person's, on the right of the picture.
#include <frvt11.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "config.hpp"
#include "domovoi.h"
#include "template.hpp"

using FRVT::EyePair;
using FRVT::Image;
using FRVT::ReturnCode;
using FRVT::ReturnStatus;
using FRVT::TemplateRole;

namespace
{

enum { CANDIDATES = 8 }; // faces of which the one of a portrait is chosen
enum { MAX_SIDE = 32767 };

// Words may not fit into memory; the code always does.
ReturnStatus status(ReturnCode code, const char *words) noexcept
{
    ReturnStatus s(code);
    try {
        s.info = words;
    } catch (...) {
    }
    return s;
}

class Domovoi : public FRVT_11::Interface
{
  public:
    Domovoi() : id()
    {
    }
    Domovoi(const Domovoi &) = delete;
    Domovoi &operator=(const Domovoi &) = delete;
    ~Domovoi() override
    {
        close();
    }

    ReturnStatus initialize(const std::string &configDir) override
    try {
        close();
        frte::Config c;
        std::string error;
        if (!frte::read_config(configDir, c, error)) {
            return status(ReturnCode::ConfigError, error.c_str());
        }
        const ReturnStatus s = open(c);
        if (s.code != ReturnCode::Success) {
            close();
        }
        return s;
    } catch (const std::bad_alloc &) {
        close();
        return status(ReturnCode::MemoryError, "out of memory");
    } catch (...) {
        close();
        return status(ReturnCode::UnknownError, "unexpected");
    }

    ReturnStatus createFaceTemplate(const std::vector<Image> &images, TemplateRole,
                                    std::vector<uint8_t> &templ,
                                    std::vector<EyePair> &eyes) override
    try {
        frte::write_failed(templ, id);
        eyes.assign(images.size(), EyePair());
        if (!pipeline) {
            return not_initialized();
        }
        if (images.empty()) {
            return status(ReturnCode::NumDataError, "no picture was given");
        }
        ReturnStatus first(ReturnCode::Success); // failure
        size_t good = 0;
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (size_t i = 0; i < images.size(); i++) {
            ReturnStatus s = add_portrait(images[i], eyes[i]);
            if (s.code == ReturnCode::Success) {
                good++;
            } else if (first.code == ReturnCode::Success) {
                std::swap(first, s);
            }
        }
        if (!good) {
            return first;
        }
        if (!unit(sum)) {
            return status(ReturnCode::ExtractError, "the vectors of the pictures cancel out");
        }
        frte::write_face(templ, sum.data(), sum.size(), good, id);
        return ReturnStatus(ReturnCode::Success);
    } catch (const std::bad_alloc &) {
        return status(ReturnCode::MemoryError, "out of memory");
    } catch (...) {
        return status(ReturnCode::UnknownError, "unexpected");
    }

    ReturnStatus createFaceTemplate(const Image &image, TemplateRole,
                                    std::vector<std::vector<uint8_t>> &templs,
                                    std::vector<EyePair> &eyes) override
    try {
        // One of each, for the case that nothing is found or memory runs out.
        templs.assign(1, std::vector<uint8_t>());
        eyes.assign(1, EyePair());
        frte::write_failed(templs[0], id);
        if (!pipeline) {
            return not_initialized();
        }
        dmv_image view;
        size_t n = 0;
        ReturnStatus s = find(image, view, faces.size(), n);
        if (s.code != ReturnCode::Success) {
            return s;
        }
        // Faces come best first: those that reach min_score, or else the best one alone.
        while (n > 1 && faces[n - 1].score < config.min_score) {
            n--;
        }
        std::vector<std::vector<uint8_t>> found;
        std::vector<EyePair> where;
        found.reserve(n);
        where.reserve(n);
        for (size_t i = 0; i < n; i++) {
            const ReturnStatus e = embed(view, faces[i]);
            if (e.code == ReturnCode::Success) {
                found.emplace_back();
                frte::write_face(found.back(), one.data(), one.size(), 1, id);
                where.push_back(eyes_of(image, faces[i]));
            } else {
                s = e;
            }
        }
        if (found.empty()) {
            return s;
        }
        templs.swap(found);
        eyes.swap(where);
        return ReturnStatus(ReturnCode::Success);
    } catch (const std::bad_alloc &) {
        return status(ReturnCode::MemoryError, "out of memory");
    } catch (...) {
        return status(ReturnCode::UnknownError, "unexpected");
    }

    ReturnStatus createIrisTemplate(const std::vector<Image> &irises, TemplateRole,
                                    std::vector<uint8_t> &templ,
                                    std::vector<FRVT::IrisAnnulus> &places) override
    try {
        frte::write_failed(templ, id);
        places.assign(irises.size(), FRVT::IrisAnnulus());
        return status(ReturnCode::NotImplemented, "faces only");
    } catch (...) {
        return status(ReturnCode::NotImplemented, "faces only");
    }

    ReturnStatus matchTemplates(const std::vector<uint8_t> &verif,
                                const std::vector<uint8_t> &enroll, double &score) override
    {
        score = -1;
        if (!pipeline) {
            return not_initialized();
        }
        const frte::Kind a = frte::read(verif, id, sum.size(), sum.data());
        const frte::Kind b = frte::read(enroll, id, one.size(), one.data());
        if (a == frte::Kind::Damaged || b == frte::Kind::Damaged) {
            return status(ReturnCode::TemplateFormatError, "a template is damaged");
        }
        if (a == frte::Kind::OtherModel || b == frte::Kind::OtherModel) {
            return status(ReturnCode::TemplateFormatError, "a template is of another net");
        }
        if (a == frte::Kind::Failed || b == frte::Kind::Failed) {
            return status(ReturnCode::VerifTemplateError, "a template is of a picture that failed");
        }
        // Rounding may pass -1.
        const double cosine = double(dmv_similarity(sum.data(), one.data(), sum.size()));
        score = std::max(0.0, 1 + cosine);
        return ReturnStatus(ReturnCode::Success);
    }

  private:
    frte::Config config;
    dmv_context *ctx = nullptr;
    dmv_model *detector = nullptr, *landmarks = nullptr, *embedder = nullptr;
    dmv_pipeline *pipeline = nullptr; // NULL = initialize() has not succeeded
    uint8_t id[frte::ID];             // of the embedder
    std::vector<dmv_face> faces;
    std::vector<float> sum, one; // dim floats each

    static ReturnStatus not_initialized() noexcept
    {
        return status(ReturnCode::ConfigError, "initialize() has not succeeded");
    }

    void close() noexcept
    {
        dmv_pipeline_close(&pipeline);
        dmv_model_close(&embedder);
        dmv_model_close(&landmarks);
        dmv_model_close(&detector);
        dmv_context_close(&ctx);
        std::memset(id, 0, sizeof(id));
    }

    // What the library said of the last call; memory has its own code.
    ReturnStatus failure(dmv_status s, ReturnCode other) const noexcept
    {
        const char *words = dmv_error(ctx);
        return status(s == DMV_ERR_MEMORY ? ReturnCode::MemoryError : other,
                      *words ? words : dmv_status_string(s));
    }

    ReturnStatus open_net(const std::string &path, dmv_model_kind kind, dmv_model **net)
    {
        const dmv_status s = dmv_model_open(ctx, path.c_str(), net);
        if (s != DMV_OK) {
            return failure(s, ReturnCode::ConfigError);
        }
        if (dmv_model_get_kind(*net) != kind) {
            return status(ReturnCode::ConfigError, (path + " is a net of another kind").c_str());
        }
        return ReturnStatus(ReturnCode::Success);
    }

    ReturnStatus open(const frte::Config &c)
    {
        dmv_options o;
        dmv_options_init(&o);
        o.threads = 1;
        dmv_status s = dmv_context_open(&o, &ctx);
        if (s != DMV_OK) {
            return failure(s, ReturnCode::ConfigError);
        }
        ReturnStatus r = open_net(c.detector, DMV_KIND_DETECTOR, &detector);
        if (r.code == ReturnCode::Success && !c.landmarks.empty()) {
            r = open_net(c.landmarks, DMV_KIND_LANDMARKS, &landmarks);
        }
        if (r.code == ReturnCode::Success) {
            r = open_net(c.embedder, DMV_KIND_EMBEDDER, &embedder);
        }
        if (r.code != ReturnCode::Success) {
            return r;
        }
        const char *hex = dmv_model_id(embedder);
        for (int i = 0; i < frte::ID; i++) {
            const std::string byte(hex + 2 * i, 2);
            id[i] = uint8_t(std::stoul(byte, nullptr, 16));
        }
        dmv_pipeline_options p;
        dmv_pipeline_options_init(&p);
        p.score_threshold = c.second_score;
        p.max_side = c.max_side;
        p.scales = c.scales;
        p.mirror = c.mirror;
        p.quality = 0;
        dmv_pipeline *opened = nullptr;
        s = dmv_pipeline_open(ctx, detector, landmarks, embedder, &p, &opened);
        if (s != DMV_OK) {
            return failure(s, ReturnCode::ConfigError);
        }
        pipeline = opened;
        config = c;
        faces.resize(std::max(c.max_faces, int(CANDIDATES)));
        sum.assign(dmv_pipeline_dim(pipeline), 0.0f);
        one.assign(dmv_pipeline_dim(pipeline), 0.0f);
        return r;
    }

    // At least one of at most cap faces, best first, or a failure.
    ReturnStatus find(const Image &image, dmv_image &view, size_t cap, size_t &n)
    {
        if (!image.data || !image.width || !image.height ||
            (image.depth != 8 && image.depth != 24)) {
            return status(ReturnCode::ParseError, "a picture needs pixels of 8 or 24 bits");
        }
        if (image.width > MAX_SIDE || image.height > MAX_SIDE) {
            return status(ReturnCode::RefuseInput, "a side is longer than 32,767 pixels");
        }
        view.pixels = image.data.get();
        view.width = image.width;
        view.height = image.height;
        view.stride = size_t(image.width) * (image.depth / 8);
        view.format = image.depth == 8 ? DMV_PIXEL_GRAY8 : DMV_PIXEL_RGB8;
        const dmv_status s = dmv_pipeline_detect(pipeline, &view, faces.data(), cap, &n);
        if (s != DMV_OK) {
            return failure(s, ReturnCode::ExtractError);
        }
        return n ? ReturnStatus(ReturnCode::Success)
                 : status(ReturnCode::FaceDetectionError, "no face was found");
    }

    // The vector of a face, to one.
    ReturnStatus embed(const dmv_image &view, const dmv_face &face)
    {
        const dmv_status s = dmv_pipeline_embed(pipeline, &view, &face, one.data());
        return s == DMV_OK ? ReturnStatus(ReturnCode::Success)
                           : failure(s, ReturnCode::ExtractError);
    }

    // Adds the vector of the face that a portrait shows to sum.
    ReturnStatus add_portrait(const Image &image, EyePair &eyes)
    {
        dmv_image view;
        size_t n = 0, best = 0;
        ReturnStatus s = find(image, view, CANDIDATES, n);
        if (s.code != ReturnCode::Success) {
            return s;
        }
        // A large face counts before a small one in the background, if the detector is sure of it.
        for (size_t i = 1; i < n && faces[i].score >= config.min_score; i++) {
            if (weight(faces[i]) > weight(faces[best])) {
                best = i;
            }
        }
        eyes = eyes_of(image, faces[best]);
        s = embed(view, faces[best]);
        for (size_t i = 0; s.code == ReturnCode::Success && i < sum.size(); i++) {
            sum[i] += one[i];
        }
        return s;
    }

    static float weight(const dmv_face &f)
    {
        return f.score * f.box[2];
    }

    static bool place(const Image &image, const float p[2], uint16_t &x, uint16_t &y)
    {
        const float rx = std::round(p[0]), ry = std::round(p[1]);
        if (!(rx >= 0 && ry >= 0 && rx < image.width && ry < image.height)) {
            return false;
        }
        x = uint16_t(rx);
        y = uint16_t(ry);
        return true;
    }

    static EyePair eyes_of(const Image &image, const dmv_face &f)
    {
        EyePair e;
        if (f.has_landmarks) {
            e.isRightAssigned = place(image, f.landmarks[0], e.xright, e.yright);
            e.isLeftAssigned = place(image, f.landmarks[1], e.xleft, e.yleft);
        }
        return e;
    }

    static bool unit(std::vector<float> &v)
    {
        double square = 0;
        for (float x : v) {
            square += double(x) * double(x);
        }
        const double length = std::sqrt(square);
        if (!(length > 1e-6) || !std::isfinite(length)) {
            return false;
        }
        for (float &x : v) {
            x = float(x / length);
        }
        return true;
    }
};

} // namespace

// Without memory there is no object to return a code from: a null pointer.
std::shared_ptr<FRVT_11::Interface> FRVT_11::Interface::getImplementation()
try {
    return std::make_shared<Domovoi>();
} catch (...) {
    return nullptr;
}
