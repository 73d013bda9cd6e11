"""Unpacks chosen files of a wheel (a zip file) and prints their sizes and SHA-256 sums as JSON.

The sums are of the bytes as they come out of the wheel, so that a reader can tell whether the disk kept them.
usage: python3 unpack-wheel.py WHEEL FOLDER RULES, RULES as JSON
[{"from": prefix, "to": prefix, "only": part of the name, "executable": true}]
"""

import hashlib
import json
import os
import sys
import zipfile

wheel, folder, rules = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
entries = {}
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        rule = next((r for r in rules if info.filename.startswith(r["from"]) and r.get("only", "") in info.filename), None)
        if rule is None or info.is_dir():
            continue
        name = rule["to"] + info.filename[len(rule["from"]):]
        target = os.path.realpath(os.path.join(folder, name))
        if not target.startswith(os.path.realpath(folder) + os.sep):
            sys.exit(f"error: {info.filename} leads out of the folder")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        digest = hashlib.sha256()
        with archive.open(info) as source, open(target, "wb") as kept:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                kept.write(chunk)
        if rule.get("executable"):
            os.chmod(target, 0o755)
        entries[name] = {"bytes": info.file_size, "sha256": digest.hexdigest()}
json.dump(entries, sys.stdout)
