#!/bin/sh
# Builds classes.dex from java/ and writes SHA256SUMS. Only needed after a change in java/: apps differ in their assets.
#
# With the Android SDK: ANDROID_HOME=/path/to/sdk ./build_dex.sh     (build-tools with d8, platform 24 or later, javac)
# With Debian's tools:  ./build_dex.sh                               (javac, dx, android.jar of Android 6)
#
# Debian 11 (bullseye) is the last release with `dalvik-exchange` and `libandroid-23-java`. On later releases, unpack the
# two packages with `dpkg -x FILE.deb FOLDER` and set DEBIAN_ROOT=FOLDER.
# newer/ declares the classes of Android 7 and later that java/ uses; android.jar, if it has them, has precedence.
# --out FOLDER: writes there and leaves this folder as it is.
set -eu
cd "$(dirname "$0")"
out=.
[ "${1:-}" != --out ] || out=$2
sdk=${ANDROID_HOME:-${ANDROID_SDK_ROOT:-}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources() { find "$1" -name '*.java' | sort; }
newest() { find "$sdk/$1" -maxdepth 2 -name "$2" | sort -V | tail -n 1; }
if [ -n "$sdk" ]; then
    android=$(newest platforms android.jar)
else
    android=${DEBIAN_ROOT:-}/usr/share/java/com.android.android-23.jar
fi
mkdir "$work/newer" "$work/classes"
sources newer >"$work/newer.txt"
sources java >"$work/java.txt"
javac -Xlint:-options --release 8 -encoding UTF-8 -cp "$android" -d "$work/newer" "@$work/newer.txt"
# -g:source,lines: crash reports name the line.
javac -Xlint:all,-options,-deprecation -Werror --release 8 -encoding UTF-8 -g:source,lines \
    -cp "$android:$work/newer" -d "$work/classes" "@$work/java.txt"

if [ -n "$sdk" ]; then
    find "$work/classes" -name '*.class' | sort >"$work/classes.txt"
    "$(newest build-tools d8)" --release --min-api 24 --lib "$android" --classpath "$work/newer" --output "$work" \
        "@$work/classes.txt"
else
    java -jar "${DEBIAN_ROOT:-}/usr/share/java/com.android.dx.jar" --dex --min-sdk-version=24 \
        --output="$work/classes.dex" "$work/classes"
fi
{ # Other versions of javac make other bytes.
    echo "# $(javac -version)"
    sources . | xargs sha256sum
} >"$work/SHA256SUMS"
(cd "$work" && sha256sum classes.dex) >>"$work/SHA256SUMS"
mv "$work/classes.dex" "$work/SHA256SUMS" "$out"
