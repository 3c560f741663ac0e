#!/bin/sh
# machine.sh DIR: boots systemd as process 1 of a machine made of this one's files. What is changed there is in DIR's
# upper folder, which is memory; the network is this machine's. It ends when it is told to (TERM). DIR/unshare.pid is the
# parent of its process 1.
set -e
dir=$1

if [ "$2" = boot ]; then # within namespaces of its own
	r=$dir/root
	mount --make-rprivate /
	mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/fs/upper,workdir=$dir/fs/work" "$r"
	mount -t proc proc "$r/proc"
	for d in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$r/$d"; done
	mount -t sysfs -o ro sysfs "$r/sys"
	mount -t tmpfs tmpfs "$r/sys/fs/cgroup"
	mkdir "$r/sys/fs/cgroup/systemd"
	mount -t cgroup -o none,name=systemd cgroup "$r/sys/fs/cgroup/systemd"
	for d in null zero full random urandom tty; do
		: > "$r/dev/$d"
		mount --bind "/dev/$d" "$r/dev/$d"
	done
	mkdir "$r/dev/shm" "$r/dev/pts" "$r/dev/mqueue" "$r/dev/hugepages"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"
	ln -s pts/ptmx "$r/dev/ptmx"
	cd "$r"
	pivot_root . mnt
	exec chroot . sh -c 'umount -l /mnt; exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target'
fi

mkdir -p "$dir/fs" "$dir/root" "$dir/cgroup"
mount --make-rprivate /
mount -t tmpfs tmpfs "$dir/fs" # an overlay's upper folder can't lie on an overlay
mkdir "$dir/fs/upper" "$dir/fs/work"
mount -t cgroup -o none,name=systemd cgroup "$dir/cgroup"
group=$dir/cgroup/test-$$
mkdir "$group"
sh -c 'echo $$ > "$1/cgroup.procs"; exec unshare --pid --fork --kill-child --mount --ipc --uts --cgroup sh "$2" "$3" boot' sh "$group" "$0" "$dir" &
child=$!
echo $child > "$dir/unshare.pid"
trap 'kill -9 $child 2>/dev/null || true' TERM
wait $child || true
for i in 1 2 3 4 5 6 7 8 9 10; do # its processes are on their way out
	find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
	[ -d "$group" ] || break
	sleep 0.2
done
