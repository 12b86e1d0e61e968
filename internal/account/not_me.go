package account

import (
	"context"

	"postern/db"
	"postern/internal/access"
	"postern/internal/audit"
)

// ReportNotMe is the button in every security mail. Whoever did what the mail told of may
// know the password and read the mailbox, so all ways in are shut: sessions, trusted
// browsers, links and a waiting address end, the password is void, and neither sign-in nor
// recovery works until an administrator or the operator lifts it. After a change of
// address the old one is restored. The user and their administrators are told. A link that
// does not work is ErrDeadLink. It returns whose account it was.
func (s *Service) ReportNotMe(ctx context.Context, v Visit, plain string) (db.User, error) {
	v = v.unnamed()
	link, user, err := s.checkedLink(ctx, v, db.PurposeNotMe, plain)
	if err != nil {
		return db.User{}, err
	}
	return user, s.update(ctx, func(tx *db.Tx) error {
		if err := tx.UseLink(ctx, link.ID); err != nil {
			return dead(err)
		}
		user, err := tx.User(ctx, link.UserID)
		if err != nil {
			return dead(err)
		}
		if _, err := tx.EndAccess(ctx, user.ID, user.Epoch, 0); err != nil {
			return err
		}
		restored, err := restore(ctx, tx, link, user)
		if err != nil {
			return err
		}
		if err := tx.CloseUser(ctx, user.ID); err != nil {
			return err
		}
		if err := tx.ForgetBrowsers(ctx, user.ID); err != nil {
			return err
		}
		if err := tellOfNotMe(ctx, tx, user.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Action: audit.NotMeReported, Actor: v.Actor, User: user,
			Detail: map[string]string{"restored": restored}})
	})
}

// restore gives the user the address back that the link was mailed to when it was changed,
// unless it has become somebody else's meanwhile; then the administrators must help. It
// returns the address restored.
func restore(ctx context.Context, tx *db.Tx, link db.Link, user db.User) (string, error) {
	if link.RestoreEmail == "" || link.RestoreEmail == user.Email {
		return "", nil
	}
	if err := tx.VoidLaterRestores(ctx, link); err != nil {
		return "", err
	}
	if held, err := tx.EmailHeld(ctx, link.RestoreEmail, user.ID); err != nil || held {
		return "", err
	}
	return link.RestoreEmail, tx.SetEmail(ctx, user.ID, link.RestoreEmail)
}

// tellOfNotMe mails the user, and the organization's administrators or, where it has none,
// those who look after everybody.
func tellOfNotMe(ctx context.Context, tx *db.Tx, userID int64) error {
	user, err := tx.User(ctx, userID)
	if err != nil {
		return err
	}
	helpers, err := tx.Helpers(ctx, user)
	if err != nil {
		return err
	}
	told := helpers.Administrators
	if len(told) == 0 {
		if told, err = tx.Administrators(ctx, 0); err != nil {
			return err
		}
	}
	if helpers.ContactOwner.ID != 0 && access.Holds(helpers.ContactOwner, access.UsersView) {
		told = append(told, helpers.ContactOwner)
	}
	if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageNotMe, UserID: user.ID, Recipient: user.Email}); err != nil {
		return err
	}
	mailed := map[int64]bool{user.ID: true}
	for _, administrator := range told {
		if mailed[administrator.ID] {
			continue
		}
		mailed[administrator.ID] = true
		if err := tx.Enqueue(ctx, db.Message{Kind: db.MessageNotMeToStaff, UserID: administrator.ID, Recipient: administrator.Email,
			Data: db.MessageData{AboutUserID: user.ID}}); err != nil {
			return err
		}
	}
	return nil
}
