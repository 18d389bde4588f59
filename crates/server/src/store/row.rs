//! What is done alike to a row of any table of resources: such a table has ids, and most count the
//! changes of their rows.

use sqlx::AssertSqlSafe;

use super::Unit;
use crate::error::ApiError;
use crate::time::Timestamp;

impl Unit {
    /// Whether the table has a row with this id.
    pub(crate) async fn has(&mut self, table: &'static str, id: &str) -> Result<bool, ApiError> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE id = ?)");
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_one(self.connection()).await?)
    }

    /// Counts a change of the row with this id.
    pub(crate) async fn count_change(
        &mut self,
        table: &'static str,
        id: &str,
    ) -> Result<(), ApiError> {
        let sql = format!(
            "UPDATE {table} SET revision_number = revision_number + 1, updated_at = ?2
             WHERE id = ?1"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(Timestamp::now());
        query.execute(self.connection()).await?;
        Ok(())
    }

    /// Removes the row with this id, and what belongs to it. Tells whether there was one.
    pub(crate) async fn remove(&mut self, table: &'static str, id: &str) -> Result<bool, ApiError> {
        let sql = format!("DELETE FROM {table} WHERE id = ?");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id);
        Ok(query.execute(self.connection()).await?.rows_affected() > 0)
    }
}
