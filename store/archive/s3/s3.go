// Package s3 keeps recordings in a bucket of an S3-compatible object store.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"consentgate/store/archive"
)

// Config says which bucket.
type Config struct {
	Endpoint      string // https://s3.example.com
	Bucket        string
	Region        string
	Prefix        string // before all names, for instance gate-1/; "": nothing
	PathStyle     bool   // the bucket is in the path, not in the host's name
	AccessKeyFile string // each read at every request, so that keys may be renewed
	SecretKeyFile string
	CAFile        string // PEM of who signs the server's certificate; "": the system's
}

// Place is a bucket.
type Place struct {
	c      Config
	name   string
	client *s3.Client
	http   *http.Client
}

var _ archive.Place = (*Place)(nil)

// Open makes a Place. It doesn't ask the server, nor read the keys.
func Open(c Config) (*Place, error) {
	for _, err := range []error{CheckEndpoint(c.Endpoint), CheckBucket(c.Bucket), CheckPrefix(c.Prefix)} {
		if err != nil {
			return nil, fmt.Errorf("the archive: %w", err)
		}
	}
	web, err := newClient(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("the archive: %w", err)
	}
	endpoint := strings.TrimRight(c.Endpoint, "/")
	p := &Place{c: c, name: endpoint + "/" + c.Bucket + "/" + c.Prefix, http: web}
	p.client = s3.New(s3.Options{Region: c.Region, BaseEndpoint: &endpoint, UsePathStyle: c.PathStyle, HTTPClient: bounded{web},
		Credentials: aws.CredentialsProviderFunc(p.credentials), Retryer: aws.NopRetryer{},
		// what is sent has its SHA-256 in the signed header, and what is read is compared by the store
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired})
	return p, nil
}

// CheckEndpoint says whether a server may be there: without TLS only on this
// machine. Objects are encrypted, but names and sizes aren't.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("endpoint: a server's URL, for instance https://s3.eu-central-1.amazonaws.com")
	}
	a, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && a.IsLoopback()) {
		return nil
	}
	return errors.New("endpoint: https:// is required, but on a loopback address")
}

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixForm = regexp.MustCompile(`^([A-Za-z0-9._-]+/)*$`)
)

// CheckBucket says whether a bucket may be called so.
func CheckBucket(bucket string) error {
	if !bucketForm.MatchString(bucket) {
		return errors.New("bucket: 3 to 63 small letters, digits, points and hyphens")
	}
	return nil
}

// CheckPrefix says whether names may begin so: with folders, so that no other
// prefix begins as this does.
func CheckPrefix(prefix string) error {
	if len(prefix) > 200 || !prefixForm.MatchString(prefix) {
		return errors.New("prefix: folders of letters, digits, points, _ and -, each with / behind it, for instance gate-1/; 200 bytes at most")
	}
	return nil
}

func (p *Place) credentials(context.Context) (c aws.Credentials, err error) {
	if c.AccessKeyID, err = readKey(p.c.AccessKeyFile); err == nil {
		c.SecretAccessKey, err = readKey(p.c.SecretKeyFile)
	}
	return c, err
}

func readKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a key of the archive: %w", err)
	}
	k := strings.TrimSpace(string(b))
	if k == "" {
		return "", fmt.Errorf("the file %s of a key of the archive is empty", path)
	}
	return k, nil
}

// Name is the bucket's URL with the prefix.
func (p *Place) Name() string { return p.name }

// Close lets go of idle connections.
func (p *Place) Close() error {
	p.http.CloseIdleConnections()
	return nil
}

func (p *Place) key(object string) *string { return aws.String(p.c.Prefix + object) }

// Put puts an object in one request. The server is told the SHA-256, and refuses
// other bytes.
func (p *Place) Put(ctx context.Context, object string, body io.ReadSeeker, bytes int64, sum [sha256.Size]byte) error {
	if bytes > archive.MostBytes {
		return fmt.Errorf("putting %s: it has %d bytes, and an object %d at most", object, bytes, int64(archive.MostBytes))
	}
	_, err := p.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &p.c.Bucket, Key: p.key(object), Body: body, ContentLength: &bytes,
		ContentType: aws.String("application/octet-stream"), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:]))})
	return said("putting "+object, err)
}

// Get reads an object.
func (p *Place) Get(ctx context.Context, object string) (io.ReadCloser, error) {
	out, err := p.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.c.Bucket, Key: p.key(object)})
	if err != nil {
		return nil, said("reading "+object, err)
	}
	return body{out.Body, object}, nil
}

// body says of a connection that breaks that the store is away.
type body struct {
	io.ReadCloser
	object string
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading %s: %w: %w", b.object, archive.ErrAway, err)
	}
	return n, err
}

var errList = errors.New("the store's list makes no sense")

// List lists versions and markers.
func (p *Place) List(ctx context.Context, begins string, f func([]archive.Version) error) error {
	in := &s3.ListObjectVersionsInput{Bucket: &p.c.Bucket, Prefix: p.key(begins)}
	for {
		out, err := p.some(ctx, in)
		if err != nil {
			return said("listing versions", err)
		}
		if aws.ToString(out.Name) != p.c.Bucket { // anybody's page with nothing in it would be an empty list
			return fmt.Errorf("%w: %w: it isn't the bucket's", archive.ErrAway, errList)
		}
		page, err := p.page(out, *in.Prefix)
		if err == nil && len(page) > 0 {
			err = f(page)
		}
		if err != nil {
			return err
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		key, id := aws.ToString(out.NextKeyMarker), aws.ToString(out.NextVersionIdMarker)
		if key == "" || key < aws.ToString(in.KeyMarker) || key == aws.ToString(in.KeyMarker) && id == aws.ToString(in.VersionIdMarker) {
			return fmt.Errorf("%w: %w: it goes round in circles", archive.ErrAway, errList)
		}
		in.KeyMarker, in.VersionIdMarker = &key, out.NextVersionIdMarker
	}
}

// some asks for a page of the list: a list may take hours, and none of its pages.
func (p *Place) some(ctx context.Context, in *s3.ListObjectVersionsInput) (*s3.ListObjectVersionsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	return p.client.ListObjectVersions(ctx, in)
}

// page puts versions and markers into one list, by their names.
func (p *Place) page(out *s3.ListObjectVersionsOutput, begins string) (page []archive.Version, err error) {
	add := func(key, id *string, v archive.Version) {
		name, ok := strings.CutPrefix(aws.ToString(key), p.c.Prefix)
		if v.Object, v.ID = name, aws.ToString(id); !ok || !strings.HasPrefix(*key, begins) || v.ID == "" {
			err = fmt.Errorf("%w: %w: %.100q wasn't asked for", archive.ErrAway, errList, aws.ToString(key))
		}
		page = append(page, v)
	}
	for _, v := range out.Versions {
		add(v.Key, v.VersionId, archive.Version{Latest: aws.ToBool(v.IsLatest), Bytes: aws.ToInt64(v.Size), At: aws.ToTime(v.LastModified)})
	}
	for _, m := range out.DeleteMarkers {
		add(m.Key, m.VersionId, archive.Version{Marker: true, Latest: aws.ToBool(m.IsLatest), At: aws.ToTime(m.LastModified)})
	}
	byName(page)
	return page, err
}

// Delete deletes one version.
func (p *Place) Delete(ctx context.Context, v archive.Version) error {
	_, err := p.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.c.Bucket, Key: p.key(v.Object), VersionId: &v.ID})
	if err = said("deleting a version of "+v.Object, err); errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	return err
}

// said makes an error of what the server said, in its words, but few of them. What
// isn't a no to this very request is archive.ErrAway.
func said(doing string, err error) error {
	if err == nil {
		return nil
	}
	var missing *types.NoSuchKey
	var api smithy.APIError
	status := 0
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	switch {
	case errors.As(err, &missing), errors.As(err, &api) && (api.ErrorCode() == "NoSuchKey" || api.ErrorCode() == "NoSuchVersion"):
		return fmt.Errorf("%s: %w", doing, archive.ErrNotFound)
	case errors.As(err, &api) && status >= 400 && status < 500 && status != http.StatusTooManyRequests:
		return fmt.Errorf("%s: the store says %.60q: %.200q", doing, api.ErrorCode(), api.ErrorMessage())
	case errors.As(err, &api):
		return fmt.Errorf("%s: %w: it says %d %.60q: %.200q", doing, archive.ErrAway, status, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Errorf("%s: %w: %w", doing, archive.ErrAway, err)
}
