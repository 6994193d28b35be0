#!/bin/sh
# Generate four samples with the package in this folder and count them.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
medmint generate --package "$folder" --num-samples 4 --seed 1 --format npy --output "$output/samples"
# The manifest has a header line, then a line per sample.
count=$(tail -n +2 "$output/samples/manifest.jsonl" | wc -l)
if [ "$count" -ne 4 ]; then
    echo "expected 4 samples, found $count" >&2
    exit 1
fi
echo "4 samples as asked"
