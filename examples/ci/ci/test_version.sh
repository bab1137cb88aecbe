#!/bin/sh
grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' version.txt || { echo "version.txt has no version" >&2; exit 1; }
