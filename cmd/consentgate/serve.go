package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func serveCommand(ctx context.Context, args []string, _, errs io.Writer) int {
	f := flags("serve", errs)
	path := f.String("config", "", "the configuration `file`")
	if !parseFlags(f, args, errs) {
		return exitUsage
	}
	c, code, ok := loadFor(*path, errs)
	if !ok {
		return code
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP) // which would end the program otherwise, and with it the calls
	defer signal.Stop(again)
	log := newLogger(c.Log, errs)
	app, err := NewApp(ctx, c, log)
	if err != nil {
		return fail(errs, err)
	}
	app.Start()
	log.Info("serving", "node", c.Node, "trunks", len(c.Trunks), "ops", app.opsAddr().String(), "console", app.consoleURL())
	newReloader(app, *path).run(ctx, again)
	if err := app.Stop(); err != nil {
		return fail(errs, err)
	}
	log.Info("stopped")
	return exitOK
}

func newLogger(c LogConfig, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
