# Runs a program that dies with the process that started this script, even when that one is killed with SIGKILL.
# usage: sh -c SCRIPT sh DIRECTORY PROGRAM ARGUMENT..; stdin is a pipe whose other end only the starter holds.
# The pipe closes when the starter ends, however it ends: the watcher kills the program and removes DIRECTORY, unless
# that is empty. A line on the pipe releases the watcher: the starter cleans up itself.
directory=$1
shift
exec 3<&0 </dev/null
(
    if ! read -r _ <&3; then
        kill -9 $$
        [ -z "$directory" ] || rm -rf "$directory"
    fi
) >/dev/null 2>&1 &
exec "$@" 3<&-
