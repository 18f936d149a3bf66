# Runs a program that dies with the process that started this script, even when that one is killed with SIGKILL.
# usage: sh watched.sh DIRECTORY PROGRAM ARGUMENT..; stdin is a pipe whose other end only the starter holds.
# The pipe closes when the starter ends, however it ends. A line on it releases the watcher: the starter cleans up itself.
directory=$1
shift
exec 3<&0 </dev/null
(
    if ! read -r _ <&3; then
        kill -9 $$
        rm -rf "$directory"
    fi
) >/dev/null 2>&1 &
exec "$@" 3<&-
