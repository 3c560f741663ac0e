#!/bin/sh
# Makes the prompts' WAV files from their texts. Run from the repository's root.
set -eu
command -v espeak-ng >/dev/null || { apt-get update -q && apt-get install -yq espeak-ng; }
go run ./media/prompt/render media/prompt/wav
