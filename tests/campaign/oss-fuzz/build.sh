#!/bin/bash -eu
# What OSS-Fuzz calls, with OUT, SANITIZER, CC, CXX and their flags set: CI builds with the same script.
cd "$SRC/eddyline"
exec ./.ci/fuzz-build
