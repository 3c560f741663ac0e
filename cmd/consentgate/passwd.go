package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"consentgate/console/access/passwords"
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
	hash, err := passwords.New(strings.TrimRight(line, "\r\n"))
	if err != nil {
		return fail(errs, err)
	}
	fmt.Fprintln(out, hash)
	return exitOK
}
