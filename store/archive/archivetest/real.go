package archivetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Real is a server that others made, versitygw, with a bucket that has versions and
// may be locked.
type Real struct {
	URL    string
	Client *s3.Client
}

// NewReal starts one, if the environment's VERSITYGW says where its program is;
// else the test is skipped.
func NewReal(t testing.TB) *Real {
	t.Helper()
	program := os.Getenv("VERSITYGW")
	if program == "" {
		t.Skip("VERSITYGW isn't set: make cells")
	}
	dir := t.TempDir()
	for _, d := range []string{"objects", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	at := free(t)
	cmd := exec.Command(program, "--port", at, "--quiet", "posix", "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "objects"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY=secret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r := &Real{URL: "http://" + at}
	r.Client = s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &r.URL, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: "secret"}, nil
		})})
	var err error
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if _, err = r.Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(Bucket), ObjectLockEnabledForBucket: aws.Bool(true)}); err == nil {
			return r
		}
	}
	t.Fatal(fmt.Errorf("making a bucket at versitygw: %w", err))
	return nil
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Forget deletes an object in the way that leaves a marker.
func (r *Real) Forget(t testing.TB, key string) {
	t.Helper()
	if _, err := r.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(Bucket), Key: &key}); err != nil {
		t.Fatal(err)
	}
}

// Hold puts a legal hold on an object's newest version, or takes it off.
func (r *Real) Hold(t testing.TB, key string, on bool) {
	t.Helper()
	status := types.ObjectLockLegalHoldStatusOff
	if on {
		status = types.ObjectLockLegalHoldStatusOn
	}
	if _, err := r.Client.PutObjectLegalHold(t.Context(), &s3.PutObjectLegalHoldInput{Bucket: aws.String(Bucket), Key: &key,
		LegalHold: &types.ObjectLockLegalHold{Status: status}}); err != nil {
		t.Fatal(err)
	}
}
