package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id: RFC 9106 section 4, second recommended option.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
)

func passwdCommand(_ context.Context, args []string, out, errs io.Writer) int {
	f := flags("passwd", errs)
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fail(errs, fmt.Errorf("reading the password: %w", err))
	}
	password := strings.TrimRight(line, "\r\n")
	if len(password) < 12 {
		return fail(errs, errors.New("a password has at least 12 characters"))
	}
	fmt.Fprintln(out, hashPassword(password))
	return exitOK
}

// hashPassword gives the form that the configuration holds (PHC string format).
func hashPassword(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(sum))
}
