#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# install_papers.sh PROGRAM SHARE: the manual pages and shell completions of a program, to where shells and man look for them.
set -eu

program=$1 share=$2
name=$(basename "$program")

"$program" man "$share/man/man1"
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$program" completions bash >"$share/bash-completion/completions/$name"
"$program" completions zsh >"$share/zsh/site-functions/_$name"
"$program" completions fish >"$share/fish/vendor_completions.d/$name.fish"
