// SPDX-License-Identifier: Apache-2.0
//
// frvt_structs.h - the part of NIST's structures, version 3, that the 1:1 interface needs, written
// from its public description, so that the adapter compiles and is tested without NIST's files.
// What is sent to NIST is built with NIST's own header (see docs/frte.md). Names, order and types
// are NIST's: they are the interface.
#ifndef DOMOVOI_FRVT_STRUCTS_H
#define DOMOVOI_FRVT_STRUCTS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace FRVT
{

struct Image {
    enum class ImageDescription {
        FaceUnknown,
        FaceIso,
        FaceMugshot,
        FacePhotojournalism,
        FaceWild,
        IrisUnknown,
        IrisNIR,
        IrisWild
    };
    enum class Illuminant { Unspecified, Visible, NIR, SWIR, MWIR, LWIR };
    enum class IrisLR { Unspecified, RightIris, LeftIris };

    Image()
        : width(0), height(0), depth(24), description(ImageDescription::FaceUnknown),
          illuminant(Illuminant::Unspecified), irisLR(IrisLR::Unspecified)
    {
    }
    Image(uint16_t w, uint16_t h, uint8_t bits, std::shared_ptr<uint8_t> &pixels,
          ImageDescription what, Illuminant light, IrisLR side = IrisLR::Unspecified)
        : width(w), height(h), depth(bits), data(pixels), description(what), illuminant(light),
          irisLR(side)
    {
    }
    size_t size() const
    {
        return size_t(width) * height * (depth / 8);
    }

    uint16_t width, height;
    uint8_t depth;                 // bits a pixel: 8 grey, 24 RGB
    std::shared_ptr<uint8_t> data; // rows from the top, no padding
    ImageDescription description;
    Illuminant illuminant;
    IrisLR irisLR;
};

// Eyes of the person: the left eye is on the right of a picture.
struct EyePair {
    EyePair() : EyePair(false, false, 0, 0, 0, 0)
    {
    }
    EyePair(bool left, bool right, uint16_t xl, uint16_t yl, uint16_t xr, uint16_t yr)
        : isLeftAssigned(left), isRightAssigned(right), xleft(xl), yleft(yl), xright(xr), yright(yr)
    {
    }
    bool isLeftAssigned, isRightAssigned;
    uint16_t xleft, yleft, xright, yright;
};

struct IrisAnnulus {
    IrisAnnulus() : IrisAnnulus(0, 0, 0, 0)
    {
    }
    IrisAnnulus(uint16_t x, uint16_t y, uint16_t pupil, uint16_t limbus)
        : limbusCenterX(x), limbusCenterY(y), pupilRadius(pupil), limbusRadius(limbus)
    {
    }
    uint16_t limbusCenterX, limbusCenterY, pupilRadius, limbusRadius;
};

enum class TemplateRole { Enrollment_11, Verification_11, Enrollment_1N, Search_1N };

enum class ReturnCode {
    Success,
    UnknownError,
    ConfigError,
    RefuseInput,
    ExtractError,
    ParseError,
    TemplateCreationError,
    VerifTemplateError,
    FaceDetectionError,
    NumDataError,
    TemplateFormatError,
    EnrollDirError,
    InputLocationError,
    MemoryError,
    MatchError,
    QualityAssessmentError,
    NotImplemented,
    VendorError
};

struct ReturnStatus {
    ReturnStatus() : ReturnStatus(ReturnCode::UnknownError)
    {
    }
    ReturnStatus(ReturnCode c, const std::string &words = "") : code(c), info(words)
    {
    }
    ReturnCode code;
    std::string info;
};

// The library defines these, a test program declares them.
#ifdef NIST_EXTERN_FRVT_STRUCTS_VERSION
extern uint16_t FRVT_STRUCTS_MAJOR_VERSION, FRVT_STRUCTS_MINOR_VERSION;
#else
uint16_t FRVT_STRUCTS_MAJOR_VERSION = 3, FRVT_STRUCTS_MINOR_VERSION = 1;
#endif

} // namespace FRVT

#endif
