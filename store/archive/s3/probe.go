package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// Probe asks the bucket what may keep it from being an archive, before the first
// recording goes there, and says it in sentences; none: nothing is known. longest
// is the longest that recordings are kept for. What can't be asked for want of a
// right that the gate doesn't need is passed by.
func (p *Place) Probe(ctx context.Context, longest time.Duration) (found []string) {
	one := int32(1)
	if _, err := p.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &p.c.Bucket, Prefix: &p.c.Prefix, MaxKeys: &one}); err != nil {
		return []string{fmt.Sprintf("%v: recordings are erased all the same, but their objects can't be deleted, for nobody can say which "+
			"versions there are", said("listing versions", err))}
	}
	out, err := p.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &p.c.Bucket})
	var api smithy.APIError
	if err != nil {
		if !errors.As(err, &api) {
			found = append(found, said("asking for its object lock", err).Error())
		}
		return found
	}
	if c := out.ObjectLockConfiguration; c != nil && c.Rule != nil && c.Rule.DefaultRetention != nil {
		r := c.Rule.DefaultRetention
		days := int(aws.ToInt32(r.Days)) + 365*int(aws.ToInt32(r.Years))
		if keeps := time.Duration(days) * 24 * time.Hour; keeps > longest {
			found = append(found, fmt.Sprintf("the bucket's object lock keeps each version for %d days by default, longer than any purpose's "+
				"retention: what is erased stays there until then, unreadable. Take the default away, or shorten it", days))
		} else if days > 0 {
			found = append(found, fmt.Sprintf("the bucket's object lock keeps each version for %d days by default: what is erased before that, "+
				"for a subject or after a withdrawal, stays there until then, unreadable", days))
		}
	}
	return found
}
