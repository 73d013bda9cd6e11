// Run in a container: who it runs as, and what it may write. usage: node -e TEXT-OF-THIS-FILE CACHE

const fs = require('node:fs');

const [, cache] = process.argv;
const status = fs.readFileSync('/proc/self/status', 'utf8');

function field(name) {
  const [, text] = new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status);
  return text.replace(/\s+/g, ' ');
}

function writes(folder) {
  try {
    fs.writeFileSync(`${folder}/probe`, '');
    fs.unlinkSync(`${folder}/probe`);
    return 'yes';
  } catch (error) {
    return error.code;
  }
}

const told = {
  first: fs.readFileSync('/proc/1/comm', 'utf8').trim(),
  ...{ uid: field('Uid'), gid: field('Gid'), capabilities: field('CapEff'), noNewPrivileges: field('NoNewPrivs') },
  ...{ root: writes('/'), program: writes('/opt/espalier'), tmp: writes('/tmp'), cache: writes(cache) },
};
console.log(JSON.stringify(told));
