"""Operations that need more than one commit: move, restore, re-key."""
