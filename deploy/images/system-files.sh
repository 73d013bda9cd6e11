#!/bin/sh
# Puts into a folder what a program of Node needs of a Linux system, and nothing else: no shell, no package manager. Runs in
# a stage that builds an image, as root.
#
# usage: sh system-files.sh FOLDER [PACKAGE ...]      Debian packages of libraries beside those of C and C++
set -eu
root=$1
shift

mkdir -p "$root/usr/local/bin" "$root/etc" "$root/usr/share/doc/nodejs" "$root/var/lib/dpkg/status.d"
mkdir -p -m 1777 "$root/tmp"
unpacked=$(mktemp -d)
cd "$unpacked"
apt-get update
apt-get -o APT::Sandbox::User=root download libc6 libgcc-s1 libstdc++6 gcc-12-base tini "$@"
for package in *.deb; do
  dpkg-deb --extract "$package" "$root"
  # Where scanners look for what is installed.
  dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
cd /
rm -r "$unpacked"

# Of the packages: tables of character sets that Node has itself, what debuggers read, manuals but for the licences.
rm -r "$root/usr/lib/x86_64-linux-gnu/gconv" "$root/usr/share/gcc" "$root/usr/share/gdb" "$root/usr/share/lintian" \
  "$root/usr/bin/tini-static"
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root/usr/share/man"

cp /usr/local/bin/node "$root/usr/local/bin/node"
cp /usr/local/LICENSE "$root/usr/share/doc/nodejs/copyright"
# The NVIDIA container toolkit puts a driver's libraries where Debian has them if it finds debian_version.
cp /etc/debian_version /etc/os-release "$root/etc/"
echo 'include /etc/ld.so.conf.d/*.conf' >"$root/etc/ld.so.conf"
# Without it names of /etc/hosts would be asked of DNS first.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
printf '%s\n' 'root:x:0:0:root:/:/nologin' 'nonroot:x:65532:65532:nonroot:/var/cache/espalier:/nologin' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$root/etc/group"
