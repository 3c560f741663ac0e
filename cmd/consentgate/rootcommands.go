package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"consentgate/internal/durable"
	"consentgate/store"
	"consentgate/store/rootcell"
	"consentgate/store/rootcell/backup"
)

const rootUsage = `usage:
  consentgate root status    --config FILE                 which cells hold which root keys; 0 if all is as it must be
  consentgate root backup    --config FILE --to FILE [--recipient AGE-KEY]... [--holder NAME]   the current root key, sealed, for a safe
  consentgate root drill     --config FILE --from FILE [--identity FILE]         proves that a backup opens the data directory
  consentgate root restore   --config FILE --from FILE [--identity FILE]         puts a backup into cells that lost the key
  consentgate root replicate --config FILE                 puts the current root key into replicas that lack it
Without --recipient or --identity a passphrase is read from stdin.
`

// rootTool is one of the subcommands at work.
type rootTool struct {
	cfg   *Config
	cells *rootcell.Group
	epoch uint64 // of the data directory; 0: there is none yet
	out   io.Writer

	to, from, identity string
	holder             string // of the backup, as erasure.backups names them
	recipients         []string
}

// deviceTime bounds what devices may take in all.
const deviceTime = 3 * time.Minute

func rootCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	verbs := map[string]func(*rootTool, context.Context) error{"status": (*rootTool).status, "backup": (*rootTool).backup,
		"drill": (*rootTool).drill, "restore": (*rootTool).restore, "replicate": (*rootTool).replicate}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprint(errs, rootUsage)
		return exitUsage
	}
	verb, f := args[0], flags("root "+args[0], errs)
	config := f.String("config", "", "the configuration `file`")
	t := rootTool{out: out}
	t.flags(f, verb)
	if !parseFlags(f, args[1:], errs) {
		return exitUsage
	}
	if verb == "backup" && t.to == "" || (verb == "drill" || verb == "restore") && t.from == "" {
		fmt.Fprint(errs, rootUsage)
		return exitUsage
	}
	cfg, code, ok := loadFor(*config, errs)
	if !ok {
		return code
	}
	ctx, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	err := t.open(cfg)
	if err == nil {
		err = errors.Join(verbs[verb](&t, ctx), t.cells.Close())
	}
	if err != nil {
		return fail(errs, err)
	}
	return exitOK
}

func (t *rootTool) flags(f *flag.FlagSet, verb string) {
	switch verb {
	case "backup":
		f.StringVar(&t.to, "to", "", "the new `file`")
		f.Func("recipient", "seals it for this public age `key` (age1...) instead of a passphrase; may be given again", func(v string) error {
			t.recipients = append(t.recipients, v)
			return nil
		})
		f.StringVar(&t.holder, "holder", "", "the `name` of who gets it, of those in erasure.backups")
	case "drill", "restore":
		f.StringVar(&t.from, "from", "", "the backup's `file`")
		f.StringVar(&t.identity, "identity", "", "opens it with the secret age keys in this `file` instead of a passphrase")
	}
}

func (t *rootTool) open(c *Config) (err error) {
	t.cfg = c
	if t.epoch, err = store.RootEpoch(c.DataDir); err != nil {
		return fmt.Errorf("looking into the data directory: %w", err)
	}
	t.cells, err = openRoot(c)
	return err
}

// status tells each cell's roots, and what is wrong with them.
func (t *rootTool) status(ctx context.Context) error {
	if t.epoch == 0 {
		fmt.Fprintf(t.out, "data directory %s: not made yet\n", t.cfg.DataDir)
	} else {
		fmt.Fprintf(t.out, "data directory %s: epoch %d\n", t.cfg.DataDir, t.epoch)
	}
	var errs []error
	for i, c := range t.cells.Cells() {
		d, role := c.Describe(), "cell"
		if i > 0 {
			role = "replica"
		}
		fmt.Fprintf(t.out, "%s: %s, %s\n  a destroyed key resists: %s\n  it doesn't: %s\n", role, d.Driver, d.Holder, d.Resists, d.Doesnt)
		has, err := c.Epochs(ctx)
		if err != nil {
			fmt.Fprintln(t.out, "  no answer")
			errs = append(errs, fmt.Errorf("%s %s: %w", role, d.Holder, err))
			continue
		}
		fmt.Fprintf(t.out, "  root keys of epochs: %v\n", has)
		errs = append(errs, t.wrong(has, role+" "+d.Holder))
	}
	if t.epoch != 0 {
		errs = append(errs, t.opens(ctx, t.cells))
	}
	return errors.Join(errs...)
}

// wrong says what is wrong with a cell that has these roots.
func (t *rootTool) wrong(has []uint64, name string) (err error) {
	if t.epoch == 0 {
		return nil
	}
	if !slices.Contains(has, t.epoch) {
		err = fmt.Errorf("%s lacks the root key of epoch %d: 'consentgate root replicate' or 'root restore' puts it there", name, t.epoch)
	}
	for _, epoch := range has {
		if epoch < t.epoch {
			err = errors.Join(err, fmt.Errorf("%s still holds the root key of epoch %d, which an erasure is to destroy", name, epoch))
		}
	}
	return err
}

// opens tells what of the data directory a cell's root opens: all, or an error.
func (t *rootTool) opens(ctx context.Context, cell rootcell.Cell) error {
	got, err := store.CheckRoot(ctx, t.cfg.DataDir, cell)
	if err == nil {
		fmt.Fprintf(t.out, "the root key of epoch %d opens all of %s: %d keys of retention days and months, %d of grants, %d of the store's\n",
			got.Epoch, t.cfg.DataDir, got.Buckets, got.Grant, got.System)
	}
	return err
}

// current gets the root that is in use.
func (t *rootTool) current(ctx context.Context) (epoch uint64, k rootcell.Key, err error) {
	if epoch = t.epoch; epoch == 0 {
		return 0, k, fmt.Errorf("the data directory %s isn't made yet: the first 'consentgate serve' makes it and its root key", t.cfg.DataDir)
	}
	k, err = t.cells.Get(ctx, epoch)
	return epoch, k, err
}

func (t *rootTool) backup(ctx context.Context) error {
	if _, err := os.Lstat(t.to); err == nil {
		return fmt.Errorf("%s is there already: name a new file", t.to)
	}
	if holders := t.cfg.Erasure.Backups; len(holders) > 0 && t.holder == "" || t.holder != "" && !slices.Contains(holders, t.holder) {
		return fmt.Errorf("--holder says for whom the backup is: one of erasure.backups, %q", holders)
	}
	to, err := t.sealFor()
	if err != nil {
		return err
	}
	epoch, k, err := t.current(ctx)
	if err != nil {
		return err
	}
	var sealed strings.Builder
	if err := backup.Write(&sealed, epoch, k, to...); err != nil {
		return err
	}
	if err := durable.WriteFile(t.to, []byte(sealed.String()), 0o600); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if err := store.ConfirmRootBackup(t.cfg.DataDir, epoch, k, t.holder); err != nil { // erasure.require_backup waits for it
		return err
	}
	fmt.Fprintf(t.out, "%s holds the root key of epoch %d, sealed. Prove it: consentgate root drill --from %s\n"+
		"An erasure makes a new root key. This backup would open what was erased, and must be destroyed then, like the old key.\n",
		t.to, epoch, t.to)
	return nil
}

// sealFor gives whom a backup is sealed for.
func (t *rootTool) sealFor() ([]age.Recipient, error) {
	if len(t.recipients) > 0 {
		to, err := age.ParseRecipients(strings.NewReader(strings.Join(t.recipients, "\n")))
		if err != nil {
			return nil, fmt.Errorf("--recipient: %w", err)
		}
		return to, nil
	}
	p, err := passphrase()
	if err != nil {
		return nil, err
	}
	if len(p) < 12 {
		return nil, errors.New("a passphrase has at least 12 characters")
	}
	r, err := age.NewScryptRecipient(p)
	return []age.Recipient{r}, err
}

func passphrase() (string, error) {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the passphrase: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// unseal reads the backup that --from names.
func (t *rootTool) unseal() (epoch uint64, k rootcell.Key, err error) {
	f, err := os.Open(t.from)
	if err != nil {
		return 0, k, fmt.Errorf("opening the backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var with []age.Identity
	if t.identity != "" {
		keys, err := os.ReadFile(t.identity)
		if err != nil {
			return 0, k, fmt.Errorf("reading the secret age keys: %w", err)
		}
		if with, err = age.ParseIdentities(strings.NewReader(string(keys))); err != nil {
			return 0, k, fmt.Errorf("reading the secret age keys: %w", err)
		}
		return backup.Read(f, with...)
	}
	p, err := passphrase()
	if err != nil {
		return 0, k, err
	}
	i, err := age.NewScryptIdentity(p)
	if err != nil {
		return 0, k, fmt.Errorf("the passphrase: %w", err)
	}
	return backup.Read(f, i)
}

func (t *rootTool) drill(ctx context.Context) error {
	epoch, k, err := t.unseal()
	if err != nil {
		return err
	}
	return t.proves(ctx, epoch, k)
}

// proves tells whether a backup opens the data directory.
func (t *rootTool) proves(ctx context.Context, epoch uint64, k rootcell.Key) error {
	switch {
	case t.epoch == 0:
		return fmt.Errorf("there is no data directory at %s to open", t.cfg.DataDir)
	case epoch < t.epoch:
		return fmt.Errorf("the backup is of epoch %d, and the data directory of epoch %d: recordings were erased since. "+
			"Destroy this backup, and make a new one", epoch, t.epoch)
	case epoch > t.epoch:
		return fmt.Errorf("the backup is of epoch %d, and the data directory of epoch %d: that is an old copy, or another gate's", epoch, t.epoch)
	}
	return t.opens(ctx, backup.Cell(epoch, k))
}

// restore puts a root back only once it is proved that it is the right one.
func (t *rootTool) restore(ctx context.Context) error {
	epoch, k, err := t.unseal()
	if err != nil {
		return err
	}
	if err := t.proves(ctx, epoch, k); err != nil {
		return err
	}
	return t.put(ctx, epoch, k)
}

func (t *rootTool) replicate(ctx context.Context) error {
	epoch, k, err := t.current(ctx)
	if err != nil {
		return err
	}
	return t.put(ctx, epoch, k)
}

// put puts a root into every cell that lacks it.
func (t *rootTool) put(ctx context.Context, epoch uint64, k rootcell.Key) error {
	var errs []error
	for _, c := range t.cells.Cells() {
		name := c.Describe().Driver + " " + c.Describe().Holder
		got, err := c.Get(ctx, epoch)
		i, ok := c.(rootcell.Importer)
		switch {
		case err == nil && got == k:
			fmt.Fprintf(t.out, "%s: has it\n", name)
			continue
		case err == nil:
			err = fmt.Errorf("it has another root key of epoch %d, which isn't replaced", epoch)
		case !errors.Is(err, rootcell.ErrGone): // it may have it
		case !ok:
			err = errors.New("it can't be given a root key")
		default:
			err = i.Put(ctx, epoch, k)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		fmt.Fprintf(t.out, "%s: has the root key of epoch %d now\n", name, epoch)
	}
	return errors.Join(errs...)
}
