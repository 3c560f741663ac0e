package evidence_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// atTerminal runs a program at a terminal of its own and types an answer once it
// asks: age takes a passphrase from nowhere else.
func atTerminal(t *testing.T, dir, question, answer string, args ...string) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	defer keyboard.Close()
	must(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	terminal.Close()
	must(t, err)
	var said []byte
	typed := false
	for buf := make([]byte, 1024); ; {
		n, err := keyboard.Read(buf)
		said = append(said, buf[:n]...)
		if !typed && bytes.Contains(said, []byte(question)) {
			typed = true
			_, err := keyboard.WriteString(answer + "\n")
			must(t, err)
		}
		if err != nil { // EIO: the program has closed the terminal
			break
		}
	}
	if err := cmd.Wait(); err != nil || !typed {
		t.Fatalf("%v: %v\n%s", args, err, said)
	}
}
