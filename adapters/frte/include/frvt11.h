// SPDX-License-Identifier: Apache-2.0
//
// frvt11.h - NIST's 1:1 interface, version 6, written from its public description; see
// frvt_structs.h beside it.
#ifndef DOMOVOI_FRVT11_H
#define DOMOVOI_FRVT11_H

#include <frvt_structs.h>

namespace FRVT_11
{

class Interface
{
  public:
    virtual ~Interface()
    {
    }
    // Once, before the process forks.
    virtual FRVT::ReturnStatus initialize(const std::string &configDir) = 0;
    // Pictures of one person: one template, one EyePair a picture.
    virtual FRVT::ReturnStatus createFaceTemplate(const std::vector<FRVT::Image> &faces,
                                                  FRVT::TemplateRole role,
                                                  std::vector<uint8_t> &templ,
                                                  std::vector<FRVT::EyePair> &eyeCoordinates) = 0;
    virtual FRVT::ReturnStatus
    createIrisTemplate(const std::vector<FRVT::Image> &irises, FRVT::TemplateRole role,
                       std::vector<uint8_t> &templ,
                       std::vector<FRVT::IrisAnnulus> &irisLocations) = 0;
    // One picture of several people: a template and an EyePair for each, at least one.
    virtual FRVT::ReturnStatus createFaceTemplate(const FRVT::Image &image, FRVT::TemplateRole role,
                                                  std::vector<std::vector<uint8_t>> &templs,
                                                  std::vector<FRVT::EyePair> &eyeCoordinates) = 0;
    // 0 or more; -1 and VerifTemplateError if one of them is a failed template.
    virtual FRVT::ReturnStatus matchTemplates(const std::vector<uint8_t> &verifTemplate,
                                              const std::vector<uint8_t> &enrollTemplate,
                                              double &score) = 0;

    static std::shared_ptr<Interface> getImplementation();
};

#ifdef NIST_EXTERN_API_VERSION
extern uint16_t API_MAJOR_VERSION, API_MINOR_VERSION;
#else
uint16_t API_MAJOR_VERSION = 6, API_MINOR_VERSION = 0;
#endif

} // namespace FRVT_11

#endif
