// SPDX-License-Identifier: Apache-2.0
//
// faulty.cpp - a library of the interface with one fault, which the file `fault` of the
// configuration folder names: what frte-check must notice. Without a fault it "recognises" by
// the mean of the pixels; a black picture fails.
#include <frvt11.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>

using FRVT::EyePair;
using FRVT::Image;
using FRVT::ReturnCode;
using FRVT::ReturnStatus;
using FRVT::TemplateRole;

namespace
{

void *sleeper(void *)
{
    pause();
    return nullptr;
}

class Faulty : public FRVT_11::Interface
{
  public:
    ReturnStatus initialize(const std::string &configDir) override
    {
        std::ifstream in(configDir + "/fault");
        if (!(in >> fault)) {
            return ReturnCode::ConfigError;
        }
        pid = getpid();
        if (fault == "init-throws") {
            throw std::runtime_error("fault");
        }
        if (fault == "init-thread") {
            thread();
        }
        const bool built_in = fault == "place" && configDir.find("moved") != std::string::npos;
        return built_in ? ReturnCode::ConfigError : ReturnCode::Success;
    }

    ReturnStatus createFaceTemplate(const std::vector<Image> &faces, TemplateRole,
                                    std::vector<uint8_t> &templ,
                                    std::vector<EyePair> &eyes) override
    {
        calls++;
        if (fault == "stdout") {
            puts("hello");
        } else if (fault == "stderr") {
            fputs("hello\n", stderr);
        } else if (fault == "throws") {
            throw std::runtime_error("fault");
        } else if (fault == "crash") {
            abort();
        } else if (fault == "fork" && getpid() != pid) {
            abort();
        } else if (fault == "leaves" && calls == 2) {
            _exit(0);
        } else if (fault == "thread" && calls == 1) {
            thread();
        } else if (fault == "slow" && calls == 1) {
            usleep(1600000);
        }
        double mean = 0;
        for (size_t i = 0; i < faces[0].size(); i++) {
            mean += faces[0].data.get()[i];
        }
        mean /= double(faces[0].size());
        if (fault == "differs") {
            mean += getpid() * 1e-6;
        }
        templ.resize(sizeof(mean));
        memcpy(templ.data(), &mean, sizeof(mean));
        if (fault == "empty" && mean > 0) {
            templ.clear();
        }
        const bool good = mean > 0 || fault == "blind";
        eyes.assign(faces.size() + (fault == "eyes-count"), EyePair());
        if (good || fault == "eyes-failed") {
            const uint16_t far = fault == "eyes-outside" ? faces[0].width : 0;
            for (EyePair &e : eyes) {
                e = EyePair(true, true, far, 0, 0, 0);
            }
        }
        return good ? ReturnCode::Success : ReturnCode::FaceDetectionError;
    }

    ReturnStatus createFaceTemplate(const Image &image, TemplateRole role,
                                    std::vector<std::vector<uint8_t>> &templs,
                                    std::vector<EyePair> &eyes) override
    {
        if (fault == "several-none") {
            return ReturnCode::FaceDetectionError;
        }
        if (fault == "several-missing") {
            templs.resize(1);
            eyes.resize(1);
            return ReturnCode::NotImplemented;
        }
        templs.resize(1);
        return createFaceTemplate(std::vector<Image>(1, image), role, templs[0], eyes);
    }

    ReturnStatus createIrisTemplate(const std::vector<Image> &, TemplateRole,
                                    std::vector<uint8_t> &,
                                    std::vector<FRVT::IrisAnnulus> &) override
    {
        return ReturnCode::NotImplemented;
    }

    ReturnStatus matchTemplates(const std::vector<uint8_t> &verif,
                                const std::vector<uint8_t> &enroll, double &score) override
    {
        double a, b;
        memcpy(&a, verif.data(), sizeof(a));
        memcpy(&b, enroll.data(), sizeof(b));
        const bool failed = !(a > 0 && b > 0);
        if (fault == "slow-match") {
            usleep(300);
        }
        score = failed && fault != "failed-score" ? -1
                : fault == "constant"             ? 1
                : fault == "negative"             ? -std::fabs(a - b)
                : fault == "nan"                  ? NAN
                                                  : 1 / (1 + std::fabs(a - b));
        return failed && fault != "failed-code" ? ReturnCode::VerifTemplateError
                                                : ReturnCode::Success;
    }

  private:
    std::string fault;
    pid_t pid = 0;
    int calls = 0;

    static void thread()
    {
        pthread_t t;
        if (!pthread_create(&t, nullptr, sleeper, nullptr)) {
            pthread_detach(t);
        }
    }
};

} // namespace

std::shared_ptr<FRVT_11::Interface> FRVT_11::Interface::getImplementation()
{
    return std::make_shared<Faulty>();
}
