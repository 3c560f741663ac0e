// Package devicetest has the devices that root cells are tested with: SoftHSM's
// tokens, TPMs in software (swtpm), and Vault's core in a server of our own. Each
// ends with its test.
package devicetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// program is consentgate-pkcs11, which Main builds.
var program string

// Main builds the program that talks to PKCS#11 tokens, runs the tests and returns
// the code to exit with. NewSoftHSM needs it.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pkcs11")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "consentgate-pkcs11")
	build := exec.Command("go", "build", "-o", program, "consentgate/cmd/consentgate-pkcs11")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building consentgate-pkcs11 (is there a C compiler?): %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need skips a test where a program is missing; in CI it fails.
func need(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: %s is missing, run 'make peers'", name)
	}
}

// until waits for what a device does at its start.
func until(t testing.TB, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
