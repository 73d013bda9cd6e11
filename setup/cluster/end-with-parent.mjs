// Loaded into a Node program before its own code (`node --import`): ends the program the moment that whoever forked it is
// gone, also by `kill -9`, since the channel between them closes then.

if (process.send !== undefined) {
  const end = () => process.kill(process.pid, 'SIGKILL');
  process.on('disconnect', end);
  // The channel alone must not keep a program that has ended its work.
  process.channel?.unref();
  if (!process.connected) end();
}
